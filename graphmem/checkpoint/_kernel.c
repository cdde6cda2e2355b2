/* The inner loops of the checkpoint search, compiled: the same algorithms and results as pure_sequence.py,
 * pure_moves.py and pure_states.py, which carry the explanations.
 *
 * Every function takes the addresses of contiguous arrays (kernel.py makes them), because the buffer protocol is not in
 * the limited API of Python 3.10 and with it one abi3 build serves every later Python. Random numbers are splitmix64,
 * logarithms come in a table and doubles are only added and multiplied, so that compiled and pure give the same course.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__clang__) /* no fused multiply-add, which would accept other moves than Python does */
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

typedef int64_t i64;
typedef uint64_t u64;

typedef struct {
    i64 n;
    const i64 *in_from, *in, *out_from, *out, *size, *cost, *most;
} Net;

static u64 draw(u64 *state) {
    u64 z = (*state += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

static i64 below(u64 *state, i64 count) { return (i64)((draw(state) >> 33) % (u64)count); }

/* ---- sequence (pure_sequence.py) ----------------------------------------------------------------------------- */

#define CAP 6        /* instances of one value */
#define STRIDE 4     /* slots per computation when the tape is laid out */
#define TABLE 1024   /* entries of the table of -log */

typedef struct { i64 count, start[CAP], stop[CAP]; } Spans;
typedef struct { i64 insert, node, slot; } Change;

typedef struct {
    Net net;
    i64 slots, slot_capacity, budget, free_order;
    i64 area, cost, used;
    i64 *tape, *live;         /* per slot: the computation in it or -1; bytes alive */
    i64 *at, *count;          /* per node: slots of its instances, ascending */
    i64 *extras, *extra_rank, extra_count; /* nodes with more than one instance */
    i64 *stamp, *touched, touched_count, clock;
    Spans *before;
    Change *changes; i64 change_count, change_capacity;
    u64 random;
} Tape;

static void spans_of(const Tape *t, i64 u, Spans *s) {
    const i64 *at = t->at + u * CAP;
    i64 k = t->count[u];
    s->count = k;
    for (i64 i = 0; i < k; i++) s->start[i] = s->stop[i] = at[i];
    for (i64 e = t->net.out_from[u]; e < t->net.out_from[u + 1]; e++) {
        i64 w = t->net.out[e];
        for (i64 j = 0; j < t->count[w]; j++) {
            i64 slot = t->at[w * CAP + j], i = k - 1;
            while (i > 0 && at[i] > slot) i--;
            if (s->stop[i] < slot) s->stop[i] = slot;
        }
    }
}

static void touch(Tape *t, i64 u) {
    if (t->stamp[u] == t->clock) return;
    t->stamp[u] = t->clock;
    spans_of(t, u, t->before + t->touched_count);
    t->touched[t->touched_count++] = u;
}

static i64 over(const Tape *t, i64 bytes) { i64 x = bytes - t->budget; return x > 0 ? x : 0; }

#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3"))) /* integers: the same sums */
#else
#define WIDE
#endif

WIDE static void add_range(Tape *t, i64 from, i64 to, i64 bytes) {
    i64 area = 0, budget = t->budget;
    i64 *live = t->live;
    const i64 *tape = t->tape;
    for (i64 k = from; k < to; k++) {
        i64 x = live[k] - budget, y = x + bytes, keep = ~(tape[k] >> 63);
        x &= ~(x >> 63); y &= ~(y >> 63);
        area += (y - x) & keep;
        live[k] += bytes;
    }
    t->area += area;
}

/* live += (spans after - spans before) * sign * bytes, touching only slots where they differ. */
static void apply(Tape *t, i64 u, const Spans *a, const Spans *b, i64 sign) {
    i64 bytes = t->net.size[u] * sign, where[4 * CAP], step[4 * CAP], m = 0;
    if (!bytes) return;
    for (int side = 0; side < 2; side++) {
        const Spans *s = side ? b : a;
        for (i64 i = 0; i < s->count; i++)
            for (int end = 0; end < 2; end++) {
                i64 w = end ? s->stop[i] + 1 : s->start[i], d = (side ? 1 : -1) * (end ? -1 : 1), k = m++;
                while (k && where[k - 1] > w) { where[k] = where[k - 1]; step[k] = step[k - 1]; k--; }
                where[k] = w; step[k] = d;
            }
    }
    i64 level = 0;
    for (i64 k = 0; k + 1 < m; k++) {
        level += step[k];
        if (level && where[k] < where[k + 1]) add_range(t, where[k], where[k + 1], level * bytes);
    }
}

static void set_extra(Tape *t, i64 v) {
    i64 many = t->count[v] > 1, rank = t->extra_rank[v];
    if (many && rank < 0) { t->extra_rank[v] = t->extra_count; t->extras[t->extra_count++] = v; }
    if (!many && rank >= 0) {
        i64 last = t->extras[--t->extra_count];
        t->extras[rank] = last; t->extra_rank[last] = rank; t->extra_rank[v] = -1;
    }
}

static void put(Tape *t, i64 v, i64 slot) {
    i64 *at = t->at + v * CAP, i = t->count[v]++;
    while (i > 0 && at[i - 1] > slot) { at[i] = at[i - 1]; i--; }
    at[i] = slot;
    t->tape[slot] = v;
    t->area += over(t, t->live[slot]);
    t->cost += t->net.cost[v]; t->used++;
    set_extra(t, v);
}

static void take_out(Tape *t, i64 v, i64 slot) {
    i64 *at = t->at + v * CAP, i = 0, k = --t->count[v];
    while (at[i] != slot) i++;
    for (; i < k; i++) at[i] = at[i + 1];
    t->tape[slot] = -1;
    t->area -= over(t, t->live[slot]);
    t->cost -= t->net.cost[v]; t->used--;
    set_extra(t, v);
}

static int note(Tape *t, i64 insert, i64 v, i64 slot) {
    if (t->change_count == t->change_capacity) return 0;
    Change c = {insert, v, slot};
    t->changes[t->change_count++] = c;
    touch(t, v);
    for (i64 e = t->net.in_from[v]; e < t->net.in_from[v + 1]; e++) touch(t, t->net.in[e]);
    if (insert) put(t, v, slot); else take_out(t, v, slot);
    return 1;
}

/* The last read of the instance of u that serves `slot`. */
static i64 last_read(const Tape *t, i64 u, i64 slot) {
    const i64 *at = t->at + u * CAP;
    i64 i = t->count[u] - 1;
    while (i > 0 && at[i] > slot) i--;
    i64 until = i + 1 < t->count[u] ? at[i + 1] : t->slots, last = at[i];
    for (i64 e = t->net.out_from[u]; e < t->net.out_from[u + 1]; e++) {
        i64 w = t->net.out[e];
        for (i64 j = 0; j < t->count[w]; j++) {
            i64 s = t->at[w * CAP + j];
            if (s < until && s > last) last = s;
        }
    }
    return last;
}

static i64 serving(const Tape *t, i64 u, i64 slot) {
    const i64 *at = t->at + u * CAP;
    i64 i = t->count[u] - 1;
    while (i > 0 && at[i] >= slot) i--;
    return i;
}

static i64 empty_before(const Tape *t, i64 slot, i64 above) {
    for (i64 k = slot - 1; k > above && k > slot - 64; k--) if (t->tape[k] < 0) return k;
    return -1;
}

static int insert_before(Tape *t, i64 v, i64 slot, i64 depth) {
    i64 p = empty_before(t, slot, t->at[v * CAP + serving(t, v, slot)]), wanted[16], m = 0;
    if (p < 0) return 0;
    if (depth < 40)
        for (i64 e = t->net.in_from[v]; e < t->net.in_from[v + 1] && m < 16; e++) {
            i64 u = t->net.in[e];
            if (t->count[u] >= t->net.most[u] || last_read(t, u, p) >= p) continue;
            if (draw(&t->random) >> 63) wanted[m++] = u;
        }
    if (!note(t, 1, v, p)) return 0;
    for (i64 i = 0; i < m; i++)
        if (t->count[wanted[i]] < t->net.most[wanted[i]]) insert_before(t, wanted[i], p, depth + 1);
    return 1;
}

static int may_go(const Tape *t, i64 v, i64 i) {
    i64 at = t->at[v * CAP + i];
    if (t->count[v] < 2) return 0;
    if (i > 0) return 1;
    return t->free_order && last_read(t, v, at) == at;
}

static int remove_instance(Tape *t, i64 v, i64 i, i64 depth) {
    i64 slot = t->at[v * CAP + i];
    if (!note(t, 0, v, slot)) return 0;
    if (depth < 40)
        for (i64 e = t->net.in_from[v]; e < t->net.in_from[v + 1]; e++) {
            i64 u = t->net.in[e], k = serving(t, u, slot), at = t->at[u * CAP + k];
            if (t->count[u] > 1 && last_read(t, u, at) == at && may_go(t, u, k)) remove_instance(t, u, k, depth + 1);
        }
    return 1;
}

static int move_add(Tape *t) {
    i64 v = below(&t->random, t->net.n), readers = t->net.out_from[v + 1] - t->net.out_from[v];
    if (!readers || t->count[v] >= t->net.most[v]) return 0;
    i64 w = t->net.out[t->net.out_from[v] + below(&t->random, readers)];
    i64 slot = t->at[w * CAP + below(&t->random, t->count[w])];
    return insert_before(t, v, slot, 0);
}

static int move_remove(Tape *t) {
    if (!t->extra_count) return 0;
    i64 v = t->extras[below(&t->random, t->extra_count)], i = below(&t->random, t->count[v]);
    if (!may_go(t, v, i)) return 0;
    return remove_instance(t, v, i, 0);
}

static int move_shift(Tape *t) {
    i64 v, i;
    if (t->free_order && draw(&t->random) >> 63) v = below(&t->random, t->net.n);
    else if (t->extra_count) v = t->extras[below(&t->random, t->extra_count)];
    else return 0;
    i = below(&t->random, t->count[v]);
    if (!i && !t->free_order) return 0;
    const i64 *at = t->at + v * CAP;
    i64 slot = at[i], low = i ? at[i - 1] : -1, high = i + 1 < t->count[v] ? at[i + 1] : t->slots, first = t->slots;
    for (i64 e = t->net.in_from[v]; e < t->net.in_from[v + 1]; e++) {
        i64 a = t->at[t->net.in[e] * CAP];
        if (a > low) low = a;
    }
    for (i64 e = t->net.out_from[v]; e < t->net.out_from[v + 1]; e++) {
        i64 w = t->net.out[e];
        for (i64 j = 0; j < t->count[w]; j++) {
            i64 s = t->at[w * CAP + j];
            if (s > slot && s < first) first = s;
        }
    }
    if (first > high) first = high;
    if (!i && first < high) high = first;
    i64 way = below(&t->random, 4), target;
    if (way == 0) target = empty_before(t, first, low);
    else if (way == 1) target = slot - 24 + below(&t->random, 48);
    else target = low + 1 + below(&t->random, high - low);
    if (target <= low || target >= high || t->tape[target] >= 0) return 0;
    if (t->change_capacity - t->change_count < 2) return 0;
    note(t, 0, v, slot);
    return note(t, 1, v, target);
}

static void undo(Tape *t, i64 area) {
    for (i64 k = t->touched_count - 1; k >= 0; k--) {
        Spans after;
        spans_of(t, t->touched[k], &after);
        apply(t, t->touched[k], t->before + k, &after, -1);
    }
    while (t->change_count) {
        Change c = t->changes[--t->change_count];
        if (c.insert) take_out(t, c.node, c.slot); else put(t, c.node, c.slot);
    }
    t->area = area;
}

/* Undo before the spans were applied: only the tape has changed. */
static void retract(Tape *t, i64 area) {
    while (t->change_count) {
        Change c = t->changes[--t->change_count];
        if (c.insert) take_out(t, c.node, c.slot); else put(t, c.node, c.slot);
    }
    t->area = area;
}

/* Spread `length` computations over the tape, STRIDE slots each, and count the bytes alive from scratch. */
static int lay_out(Tape *t, const i64 *order, i64 length) {
    i64 n = t->net.n, alive = 0;
    t->slots = STRIDE * (length + 1);
    if (t->slots > t->slot_capacity) return 0;
    memset(t->count, 0, (size_t)n * sizeof(i64));
    for (i64 v = 0; v < n; v++) t->extra_rank[v] = -1;
    t->extra_count = t->cost = t->used = t->area = 0;
    for (i64 k = 0; k < t->slots; k++) { t->tape[k] = -1; t->live[k] = 0; }
    for (i64 k = 0; k < length; k++) put(t, order[k], STRIDE * k + STRIDE - 1);
    t->area = 0; t->clock++;
    for (i64 k = t->slots - 1; k >= 0; k--) { /* stamp == clock: alive after slot k */
        i64 v = t->tape[k], here = alive;
        if (v >= 0) {
            i64 was = t->stamp[v] == t->clock;
            if (!was) here += t->net.size[v];
            else { alive -= t->net.size[v]; t->stamp[v] = 0; }
            for (i64 e = t->net.in_from[v]; e < t->net.in_from[v + 1]; e++) {
                i64 u = t->net.in[e];
                if (t->stamp[u] != t->clock) { t->stamp[u] = t->clock; here += t->net.size[u]; alive += t->net.size[u]; }
            }
            t->area += over(t, here);
        }
        t->live[k] = here;
    }
    return 1;
}

static i64 order_of(const Tape *t, i64 *order) {
    i64 m = 0;
    for (i64 k = 0; k < t->slots; k++) if (t->tape[k] >= 0) order[m++] = t->tape[k];
    return m;
}

static int tape_make(Tape *t) {
    size_t n = (size_t)t->net.n, words;
    t->slot_capacity = STRIDE * (CAP * t->net.n + 2);
    t->change_capacity = 128;
    words = 2 * (size_t)t->slot_capacity + n * (CAP + 5) + 4;
    t->tape = calloc(words, sizeof(i64));
    t->before = calloc(n + 1, sizeof(Spans));
    t->changes = calloc((size_t)t->change_capacity, sizeof(Change));
    if (!t->tape || !t->before || !t->changes) return 0;
    t->live = t->tape + t->slot_capacity;
    t->at = t->live + t->slot_capacity;
    t->count = t->at + n * CAP; t->extras = t->count + n; t->extra_rank = t->extras + n;
    t->stamp = t->extra_rank + n; t->touched = t->stamp + n;
    return 1;
}

/* -1: out of memory; else the length of the best order: the cheapest within the budget (its cost in `cost`), or when none
 * was found the one with the least bytes over it (-1 in `cost`). */
static i64 sequence(Tape *t, i64 *order, i64 length, i64 rounds, i64 *cost, double hot, double cold, double weight,
                    i64 adds, i64 removes, const double *log_table, const volatile i64 *stop) {
    i64 least = INT64_MAX, best = -1, best_length = length, block = rounds / 400, inside = 0, *work;
    block = block < 20 ? 20 : block > 1000 ? 1000 : block;
    if (!tape_make(t) || !(work = malloc((size_t)(t->slot_capacity + 1) * sizeof(i64)))) return -1;
    if (!lay_out(t, order, length)) { free(work); return -1; }
    double heat = hot;
    if (!t->area) { best = t->cost; best_length = length; }
    for (i64 round = 0; round < rounds; round++) {
        if (round % block == 0 && round) {
            if (*stop) break;
            heat = hot + (cold - hot) * ((double)round / (double)rounds);
            heat = heat * heat / hot;
            if (heat < cold) heat = cold;
            weight *= inside * 2 > block ? 0.92 : 1.08;
            inside = 0;
            i64 m = order_of(t, work);
            if (!lay_out(t, work, m)) break;
        }
        i64 area = t->area, before_cost = t->cost, kind = below(&t->random, 100), done;
        t->clock++; t->touched_count = t->change_count = 0;
        done = kind < adds ? move_add(t) : kind < adds + removes ? move_remove(t) : move_shift(t);
        if (!area) inside++;
        if (!done) { if (t->change_count) retract(t, area); continue; }
        double limit = heat * log_table[below(&t->random, TABLE)];
        if ((double)(t->cost - before_cost) - weight * (double)area > limit) { retract(t, area); continue; }
        for (i64 k = 0; k < t->touched_count; k++) {
            Spans after;
            spans_of(t, t->touched[k], &after);
            apply(t, t->touched[k], t->before + k, &after, 1);
        }
        if ((double)(t->cost - before_cost) + weight * (double)(t->area - area) > limit) { undo(t, area); continue; }
        if (t->area ? best < 0 && t->area < least : best < 0 || t->cost < best) {
            least = t->area;
            if (!least) best = t->cost;
            best_length = order_of(t, order);
        }
    }
    free(work);
    *cost = best;
    return best_length;
}

/* ---- states (pure_states.py) ----------------------------------------------------------------------------------- */

static int is_there(i64 u, i64 stage, const i64 *newest, const i64 *cut, const i64 *transient) {
    return stage < cut[u] || newest[u] == stage || (newest[u] >= cut[u] && !transient[u]);
}

/* The length of the order, 0 when it is longer than `most`. `room` holds 3 n words. */
static i64 expand(const Net *net, const i64 *cut, const i64 *transient, i64 most, i64 *room, i64 *order) {
    i64 *newest = room, *todo = room + net->n, *next = todo + net->n, length = 0;
    for (i64 v = 0; v < net->n; v++) newest[v] = -1;
    for (i64 stage = 0; stage < net->n; stage++) {
        i64 depth = 0;
        todo[0] = stage; next[0] = net->in_from[stage]; depth = 1;
        while (depth) {
            i64 v = todo[depth - 1], e = next[depth - 1];
            while (e < net->in_from[v + 1] && is_there(net->in[e], stage, newest, cut, transient)) e++;
            next[depth - 1] = e;
            if (e < net->in_from[v + 1]) {
                todo[depth] = net->in[e]; next[depth] = net->in_from[net->in[e]]; depth++;
                continue;
            }
            depth--;
            if (length == most) return 0;
            order[length++] = v;
            newest[v] = stage;
        }
    }
    return length;
}

/* Bytes over the budget, summed over the steps; the peak and the cost on the way. `alive` holds n zeros before and after. */
static i64 profile(const Net *net, const i64 *order, i64 length, i64 budget, i64 *alive, i64 *peak, i64 *cost) {
    i64 total = 0, area = 0;
    *peak = *cost = 0;
    for (i64 k = length - 1; k >= 0; k--) {
        i64 v = order[k], here;
        for (i64 e = net->in_from[v]; e < net->in_from[v + 1]; e++) {
            i64 u = net->in[e];
            if (!alive[u]) { alive[u] = 1; total += net->size[u]; }
        }
        here = alive[v] ? total : total + net->size[v];
        if (alive[v]) { alive[v] = 0; total -= net->size[v]; }
        if (here > *peak) *peak = here;
        if (here > budget) area += here - budget;
        *cost += net->cost[v];
    }
    return area;
}

/* ---- Python ---------------------------------------------------------------------------------------------------- */

#define AT(address) ((i64 *)(intptr_t)(address))

static PyObject *py_sequence(PyObject *self, PyObject *args) {
    long long n, a[7], order, length, budget, free_order, rounds, seed, adds, removes, table, stop;
    double hot, cold, weight;
    i64 cost = -1;
    (void)self;
    if (!PyArg_ParseTuple(args, "LLLLLLLLLLLLLLdddLLLL", &n, a, a + 1, a + 2, a + 3, a + 4, a + 5, a + 6, &order, &length, &budget,
                          &free_order, &rounds, &seed, &hot, &cold, &weight, &adds, &removes, &table, &stop))
        return NULL;
    Tape t;
    memset(&t, 0, sizeof t);
    Net net = {n, AT(a[0]), AT(a[1]), AT(a[2]), AT(a[3]), AT(a[4]), AT(a[5]), AT(a[6])};
    t.net = net; t.budget = budget; t.free_order = free_order; t.random = (u64)seed;
    Py_BEGIN_ALLOW_THREADS
    length = sequence(&t, AT(order), length, rounds, &cost, hot, cold, weight, adds, removes, (const double *)AT(table),
                      AT(stop));
    free(t.tape); free(t.before); free(t.changes);
    Py_END_ALLOW_THREADS
    if (length < 0) return PyErr_NoMemory();
    return Py_BuildValue("(LL)", (long long)length, (long long)cost);
}

static PyObject *py_states(PyObject *self, PyObject *args) {
    long long n, a[7], cut, transient, most, order;
    i64 length, peak = 0, cost = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "LLLLLLLLLLLL", &n, a, a + 1, a + 2, a + 3, a + 4, a + 5, a + 6, &cut, &transient, &most, &order))
        return NULL;
    Net net = {n, AT(a[0]), AT(a[1]), AT(a[2]), AT(a[3]), AT(a[4]), AT(a[5]), AT(a[6])};
    i64 *room = calloc((size_t)n * 4 + 1, sizeof(i64));
    if (!room) return PyErr_NoMemory();
    length = expand(&net, AT(cut), AT(transient), most, room, AT(order));
    if (length) profile(&net, AT(order), length, 0, room + 3 * n, &peak, &cost);
    free(room);
    return Py_BuildValue("(LLL)", (long long)length, (long long)peak, (long long)cost);
}

static PyObject *py_measure(PyObject *self, PyObject *args) {
    long long n, a[7], order, length;
    i64 peak = 0, cost = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "LLLLLLLLLL", &n, a, a + 1, a + 2, a + 3, a + 4, a + 5, a + 6, &order, &length)) return NULL;
    Net net = {n, AT(a[0]), AT(a[1]), AT(a[2]), AT(a[3]), AT(a[4]), AT(a[5]), AT(a[6])};
    i64 *room = calloc((size_t)n + 1, sizeof(i64));
    if (!room) return PyErr_NoMemory();
    profile(&net, AT(order), length, 0, room, &peak, &cost);
    free(room);
    return Py_BuildValue("(LL)", (long long)peak, (long long)cost);
}

static PyMethodDef methods[] = {
    {"sequence", py_sequence, METH_VARARGS, "see pure_sequence.py"},
    {"measure", py_measure, METH_VARARGS, "see pure_states.profile"},
    {"states", py_states, METH_VARARGS, "see pure_states.py"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernel", "Compiled inner loops of the checkpoint search.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModule_Create(&module); }
