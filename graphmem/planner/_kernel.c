/* The inner loops of the planner, compiled: skyline, first_fit and search, the same algorithms as pure_*.py.
 *
 * Every function takes the addresses of contiguous int64 arrays (kernel.py makes them), because the buffer protocol is
 * not in the limited API of Python 3.10 and with it one abi3 build serves every later Python. Integers only, so that the
 * compiled and the pure planner give the same plans on every machine. The Python files carry the explanations.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int64_t i64;

/* One block of zeroed memory, cut into arrays by `take`; a plan needs many small arrays and frees them all at once. */
typedef struct { i64 *block, *next; } Arena;
static int arena_make(Arena *a, size_t count) { a->next = a->block = calloc(count + 1, sizeof(i64)); return a->block != NULL; }
static i64 *take(Arena *a, size_t count) { i64 *p = a->next; a->next += count; return p; }

static int grow(i64 **p, i64 *capacity, i64 needed) {
    if (needed <= *capacity) return 1;
    i64 wanted = *capacity * 2 > needed ? *capacity * 2 : needed;
    i64 *q = realloc(*p, (size_t)wanted * sizeof(i64));
    if (!q) return 0;
    *p = q; *capacity = wanted;
    return 1;
}

/* ---- skyline (pure_skyline.py) ------------------------------------------------------------------------------- */

typedef struct { i64 width, *stops, *ranks; } Tree;

static void tree_pull(Tree *t, i64 p) {
    i64 l = 2 * p, r = l + 1;
    t->stops[p] = t->stops[l] < t->stops[r] ? t->stops[l] : t->stops[r];
    t->ranks[p] = t->ranks[l] > t->ranks[r] ? t->ranks[l] : t->ranks[r];
}

static void tree_best(const Tree *t, i64 p, i64 lo, i64 hi, i64 from, i64 to, i64 stop, i64 *best, i64 *leaf) {
    if (hi <= from || to <= lo || t->stops[p] > stop || t->ranks[p] <= *best) return;
    if (hi - lo == 1) { *best = t->ranks[p]; *leaf = lo; return; }
    i64 mid = (lo + hi) / 2, l = 2 * p, r = l + 1;
    if (t->ranks[l] >= t->ranks[r]) {
        tree_best(t, l, lo, mid, from, to, stop, best, leaf);
        tree_best(t, r, mid, hi, from, to, stop, best, leaf);
    } else {
        tree_best(t, r, mid, hi, from, to, stop, best, leaf);
        tree_best(t, l, lo, mid, from, to, stop, best, leaf);
    }
}

typedef struct { i64 *items, used, capacity; } Heap; /* pairs (level, section), least first */
#define LESS(l1, s1, l2, s2) ((l1) < (l2) || ((l1) == (l2) && (s1) < (s2)))

static int heap_push(Heap *h, i64 level, i64 section) {
    if (!grow(&h->items, &h->capacity, 2 * (h->used + 1))) return 0;
    i64 c = h->used++, *v = h->items;
    while (c && LESS(level, section, v[2 * ((c - 1) / 2)], v[2 * ((c - 1) / 2) + 1])) {
        v[2 * c] = v[2 * ((c - 1) / 2)]; v[2 * c + 1] = v[2 * ((c - 1) / 2) + 1];
        c = (c - 1) / 2;
    }
    v[2 * c] = level; v[2 * c + 1] = section;
    return 1;
}

static void heap_pop(Heap *h, i64 *level, i64 *section) {
    i64 *v = h->items;
    *level = v[0]; *section = v[1];
    i64 last = --h->used, l = v[2 * last], s = v[2 * last + 1], c = 0;
    for (;;) {
        i64 k = 2 * c + 1;
        if (k >= last) break;
        if (k + 1 < last && LESS(v[2 * k + 2], v[2 * k + 3], v[2 * k], v[2 * k + 1])) k++;
        if (!LESS(v[2 * k], v[2 * k + 1], l, s)) break;
        v[2 * c] = v[2 * k]; v[2 * c + 1] = v[2 * k + 1];
        c = k;
    }
    v[2 * c] = l; v[2 * c + 1] = s;
}

static int skyline(i64 n, i64 m, const i64 *start, const i64 *stop, const i64 *size, const i64 *rank, i64 *offset) {
    i64 width = 1;
    while (width < n) width *= 2;
    Arena arena;
    Heap heap = {NULL, 0, 0};
    if (!arena_make(&arena, (size_t)(4 * width + n + 5 * (m + 2)))) return 0;
    Tree tree = {width, take(&arena, 2 * width), take(&arena, 2 * width)};
    i64 *by_start = take(&arena, n), *first = take(&arena, m + 2), *level = take(&arena, m + 1);
    i64 *next = take(&arena, m + 1), *previous = take(&arena, m + 1), *head = take(&arena, m + 1);
    int ok = 1;
    for (i64 i = 0; i < n; i++) first[start[i] + 1]++;
    for (i64 s = 0; s < m; s++) first[s + 1] += first[s];
    for (i64 i = 0; i < n; i++) by_start[first[start[i]] + next[start[i]]++] = i;
    for (i64 k = 0; k < width; k++) {
        tree.stops[width + k] = k < n ? stop[by_start[k]] : INT64_MAX;
        tree.ranks[width + k] = k < n ? rank[by_start[k]] : -1;
    }
    for (i64 p = width - 1; p; p--) tree_pull(&tree, p);
    next[0] = m; previous[0] = -1; head[0] = 1;
    ok = heap_push(&heap, 0, 0);
    for (i64 placed = 0; ok && placed < n && heap.used;) {
        i64 low, a;
        heap_pop(&heap, &low, &a);
        if (!head[a] || level[a] != low) continue;
        i64 b = next[a];
        while (b < m && level[b] == low) { head[b] = 0; b = next[b]; }
        next[a] = b;
        if (b < m) previous[b] = a;
        i64 best = -1, leaf = -1;
        tree_best(&tree, 1, 0, width, first[a], first[b], b, &best, &leaf);
        if (leaf < 0) {
            i64 left = previous[a] >= 0 ? level[previous[a]] : INT64_MAX, right = b < m ? level[b] : INT64_MAX;
            i64 up = left < right ? left : right;
            i64 at = left == up ? previous[a] : a;
            if (at != a) { head[a] = 0; next[at] = b; if (b < m) previous[b] = at; }
            level[at] = up;
            ok = heap_push(&heap, up, at);
            continue;
        }
        i64 x = by_start[leaf], s = start[x], e = stop[x], top = low + size[x];
        tree.stops[width + leaf] = INT64_MAX; tree.ranks[width + leaf] = -1;
        for (i64 p = (width + leaf) / 2; p; p /= 2) tree_pull(&tree, p);
        offset[x] = low; placed++;
        if (s > a) { next[a] = s; previous[s] = a; ok = ok && heap_push(&heap, low, a); }
        level[s] = top; head[s] = 1; next[s] = e;
        if (e < b) {
            level[e] = low; head[e] = 1; next[e] = b; previous[e] = s;
            if (b < m) previous[b] = e;
            ok = ok && heap_push(&heap, low, e);
        } else if (b < m) previous[b] = s;
        if (previous[s] >= 0 && level[previous[s]] == top) {
            i64 p = previous[s];
            head[s] = 0; next[p] = next[s];
            if (next[s] < m) previous[next[s]] = p;
            s = p;
        }
        ok = ok && heap_push(&heap, top, s);
    }
    free(heap.items); free(arena.block);
    return ok;
}

/* ---- first_fit (pure_first_fit.py) ------------------------------------------------------------------------------ */

typedef struct { i64 offset, end, start, stop; } Box;
typedef struct { Box *boxes; i64 used, capacity; } Window; /* the boxes that touch a span of time, by offset */

static int window_insert(Window *w, Box box) {
    if (w->used == w->capacity) {
        i64 wanted = w->capacity ? 2 * w->capacity : 8;
        Box *q = realloc(w->boxes, (size_t)wanted * sizeof(Box));
        if (!q) return 0;
        w->boxes = q; w->capacity = wanted;
    }
    i64 lo = 0, hi = w->used;
    while (lo < hi) { i64 mid = (lo + hi) / 2; if (w->boxes[mid].offset <= box.offset) lo = mid + 1; else hi = mid; }
    memmove(w->boxes + lo + 1, w->boxes + lo, (size_t)(w->used - lo) * sizeof(Box));
    w->boxes[lo] = box; w->used++;
    return 1;
}

static i64 round_up(i64 value, i64 step) { return (value + step - 1) / step * step; }

static i64 gap_for(const Window *w, i64 s, i64 e, i64 size, i64 step, int best_fit) {
    i64 floor = 0, found = -1, least = INT64_MAX;
    for (i64 k = 0; k < w->used; k++) {
        const Box *p = w->boxes + k;
        if (p->start >= e || p->stop <= s) continue;
        i64 at = round_up(floor, step), spare = p->offset - at - size;
        if (spare >= 0 && spare < least) { found = at; least = spare; if (!best_fit) break; }
        if (p->end > floor) floor = p->end;
    }
    return found >= 0 ? found : round_up(floor, step);
}

#define LEVELS 9
/* Level l cuts time into overlapping windows of width[l]; a buffer asks the narrowest window that holds it whole. */
static int first_fit(i64 n, i64 m, const i64 *start, const i64 *stop, const i64 *size, const i64 *step, const i64 *fixed,
                     const i64 *order, int best_fit, i64 *offset) {
    i64 width[LEVELS], stride[LEVELS], base[LEVELS], windows = 0;
    int top = 0, ok = 1;
    while (top < LEVELS - 1 && (m >> (top + 1)) >= 16) top++;
    for (int l = 0; l <= top; l++) {
        width[l] = (m + ((i64)1 << l) - 1) >> l;
        stride[l] = l ? (width[l] + 1) / 2 : width[l] + 1;
        base[l] = windows;
        windows += m / stride[l] + 1;
    }
    Window *all = calloc((size_t)windows, sizeof(Window));
    if (!all) return 0;
    for (i64 r = 0; ok && r < n; r++) {
        i64 x = order[r], s = start[x], e = stop[x];
        int l = top;
        while (l && e > s / stride[l] * stride[l] + width[l]) l--;
        i64 at = fixed[x] >= 0 ? fixed[x] : gap_for(all + base[l] + s / stride[l], s, e, size[x], step[x], best_fit);
        Box box = {at, at + size[x], s, e};
        offset[x] = at;
        for (l = 0; ok && l <= top; l++) {
            i64 w = s < width[l] ? 0 : (s - width[l]) / stride[l] + 1;
            for (; ok && w * stride[l] < e; w++) ok = window_insert(all + base[l] + w, box);
        }
    }
    for (i64 w = 0; w < windows; w++) free(all[w].boxes);
    free(all);
    return ok;
}

/* ---- search (pure_search.py) --------------------------------------------------------------------------------- */

typedef struct { i64 a, b, low, section; int right; } Niche;
typedef struct { Niche niche; i64 options, count, taken, trail, lo, hi, from, to; } Frame;

typedef struct {
    i64 n, m, capacity, placed;
    const i64 *start, *stop, *size, *rank;
    i64 *weight;
    i64 *state, *floor, *total, *count, *starting, *stopping, *top, *offset, *least;   /* undone through the trail */
    i64 *first_start, *by_start, *first_stop, *by_stop, *first_cover, *cover;          /* who starts, stops, lives where */
    i64 *trail, trail_used, trail_capacity, *pool, pool_used, pool_capacity;
    Frame *frames; i64 depth, frame_capacity;
    Arena arena;
    int out_of_memory;
} Search;

static void set(Search *q, i64 *cell, i64 value) {
    if (!grow(&q->trail, &q->trail_capacity, q->trail_used + 2)) { q->out_of_memory = 1; return; }
    q->trail[q->trail_used++] = cell - q->state;
    q->trail[q->trail_used++] = *cell;
    *cell = value;
}

static void undo(Search *q, i64 mark) {
    while (q->trail_used > mark) {
        q->trail_used -= 2;
        q->state[q->trail[q->trail_used]] = q->trail[q->trail_used + 1];
    }
}

static int search_make(Search *q) {
    i64 n = q->n, m = q->m, covered = 0;
    for (i64 i = 0; i < n; i++) covered += q->stop[i] - q->start[i];
    if (!arena_make(&q->arena, (size_t)(9 * (m + 2) + 5 * n + covered + m + 2))) return 0;
    q->state = q->floor = take(&q->arena, m + 1);
    q->total = take(&q->arena, m + 1); q->count = take(&q->arena, m + 1);
    q->starting = take(&q->arena, m + 1); q->stopping = take(&q->arena, m + 1);
    q->top = take(&q->arena, m + 1); q->offset = take(&q->arena, n); q->least = take(&q->arena, n);
    q->first_start = take(&q->arena, m + 2); q->first_stop = take(&q->arena, m + 2); q->first_cover = take(&q->arena, m + 2);
    q->by_start = take(&q->arena, n); q->by_stop = take(&q->arena, n); q->cover = take(&q->arena, covered);
    i64 *by_rank = take(&q->arena, n);
    for (i64 s = 0; s <= m; s++) q->top[s] = -1;
    for (i64 i = 0; i < n; i++) {
        by_rank[q->rank[i]] = i; q->offset[i] = -1;
        q->first_start[q->start[i] + 1]++; q->first_stop[q->stop[i] + 1]++;
        q->starting[q->start[i]] += q->size[i]; q->stopping[q->stop[i]] += q->size[i];
        for (i64 s = q->start[i]; s < q->stop[i]; s++) { q->total[s] += q->size[i]; q->count[s]++; }
    }
    for (i64 s = 0; s <= m; s++) {
        q->first_start[s + 1] += q->first_start[s]; q->first_stop[s + 1] += q->first_stop[s];
        if (s < m) q->first_cover[s + 1] = q->first_cover[s] + q->count[s];
    }
    i64 *fill = calloc((size_t)(3 * (m + 2)), sizeof(i64));
    if (!fill) return 0;
    for (i64 r = 0; r < n; r++) {
        i64 i = by_rank[r];
        q->by_start[q->first_start[q->start[i]] + fill[q->start[i]]++] = i;
        q->by_stop[q->first_stop[q->stop[i]] + fill[m + 2 + q->stop[i]]++] = i;
        for (i64 s = q->start[i]; s < q->stop[i]; s++) q->cover[q->first_cover[s] + fill[2 * (m + 2) + s]++] = i;
    }
    free(fill);
    return 1;
}

static int sorted_stack(const Search *q, i64 i) {
    i64 below = q->top[q->start[i]];
    if (below < 0 || q->start[below] != q->start[i] || q->stop[below] != q->stop[i]) return 1;
    return q->top[q->stop[i] - 1] != below || q->rank[i] > q->rank[below];
}

static int is_option(const Search *q, const Niche *w, i64 i) {
    return q->offset[i] < 0 && q->start[i] >= w->a && q->stop[i] <= w->b && sorted_stack(q, i);
}

static void niche_edge(const Search *q, const Niche *w, const i64 **list, i64 *from, i64 *to) {
    *list = w->right ? q->by_stop : q->by_start;
    *from = w->right ? q->first_stop[w->b] : q->first_start[w->a];
    *to = w->right ? q->first_stop[w->b + 1] : q->first_start[w->a + 1];
}

/* The least offset of anything at the niche's edge section that does not rest on its bottom; widens [lo, hi). */
static i64 next_level(const Search *q, const Niche *w, i64 *lo, i64 *hi) {
    i64 up = INT64_MAX;
    int inside = 0;
    for (i64 k = q->first_cover[w->section]; k < q->first_cover[w->section + 1]; k++) {
        i64 i = q->cover[k];
        if (q->offset[i] >= 0) continue;
        if (q->start[i] < *lo) *lo = q->start[i];
        if (q->stop[i] > *hi) *hi = q->stop[i];
        if (q->least[i] <= w->low) inside = 1;
        else if (q->least[i] < up) up = q->least[i];
    }
    if (!inside) return up;
    const i64 *list = w->right ? q->by_stop : q->by_start, *first = w->right ? q->first_stop : q->first_start;
    for (i64 k = first[w->a + 1]; k < first[w->b]; k++) {
        i64 i = list[k];
        if (q->offset[i] >= 0) continue;
        if (q->start[i] < *lo) *lo = q->start[i];
        if (q->stop[i] > *hi) *hi = q->stop[i];
        if (q->least[i] + q->size[i] < up) up = q->least[i] + q->size[i];
    }
    return up;
}

/* Chooses the niche edge with the fewest options a unit of weight; -1 when some edge has none, [lo, hi) says where. */
static i64 choose(Search *q, Niche *best, i64 *lo, i64 *hi) {
    i64 fewest = -1, heaviest = 1, m = q->m;
    for (i64 a = 0, b; a < m; a = b) {
        b = a + 1;
        if (!q->count[a]) continue;
        i64 low = q->floor[a], slack_a = q->capacity - low - q->total[a];
        while (b < m && q->count[b] && q->floor[b] == low) b++;
        int open_left = a == 0 || !q->count[a - 1], open_right = b == m || !q->count[b];
        if (!open_left && q->floor[a - 1] - low > q->starting[a] + slack_a) { *lo = a - 1; *hi = a + 1; return -1; }
        if (!open_right && q->floor[b] - low > q->stopping[b] + q->capacity - low - q->total[b - 1]) {
            *lo = b - 1; *hi = b + 1;
            return -1;
        }
        if ((!open_left && q->floor[a - 1] < low) || (!open_right && q->floor[b] < low)) continue;
        for (int right = 0; right < 2; right++) {
            Niche w = {a, b, low, right ? b - 1 : a, right};
            const i64 *list;
            i64 from, to, options = 0, slack = q->capacity - low - q->total[w.section];
            niche_edge(q, &w, &list, &from, &to);
            for (i64 k = from; k < to; k++) options += is_option(q, &w, list[k]);
            *lo = a ? a - 1 : 0; *hi = b < m ? b + 1 : m;
            if (slack > 0) {
                i64 up = next_level(q, &w, lo, hi);
                options += up != INT64_MAX && up - low <= slack;
            }
            i64 weight = q->weight[w.section];
            if (!options) { q->weight[w.section]++; return -1; }
            if (fewest < 0 || (fewest > 1 && (options == 1 || options * heaviest < fewest * weight))) {
                fewest = options; heaviest = weight; *best = w;
            }
        }
    }
    return fewest;
}

static int open_frame(Search *q, const Niche *w) {
    if (q->depth == q->frame_capacity) {
        i64 wanted = q->frame_capacity ? 2 * q->frame_capacity : 256;
        Frame *p = realloc(q->frames, (size_t)wanted * sizeof(Frame));
        if (!p) return 0;
        q->frames = p; q->frame_capacity = wanted;
    }
    const i64 *list;
    i64 from, to, lo = w->a ? w->a - 1 : 0, hi = w->b < q->m ? w->b + 1 : q->m, options = q->pool_used;
    niche_edge(q, w, &list, &from, &to);
    if (!grow(&q->pool, &q->pool_capacity, q->pool_used + to - from + 1)) return 0;
    for (i64 k = from; k < to; k++) {
        i64 x = list[k], twin = 0;
        if (!is_option(q, w, x)) continue;
        for (i64 p = options; p < q->pool_used && !twin; p++) {
            i64 y = q->pool[p];
            twin = q->start[x] == q->start[y] && q->stop[x] == q->stop[y] && q->size[x] == q->size[y];
        }
        if (!twin) q->pool[q->pool_used++] = x;
    }
    i64 slack = q->capacity - w->low - q->total[w->section];
    if (slack > 0) {
        i64 up = next_level(q, w, &lo, &hi);
        if (up != INT64_MAX && up - w->low <= slack) q->pool[q->pool_used++] = -1 - up;
    }
    Frame f = {*w, options, q->pool_used - options, 0, q->trail_used, lo, hi, 0, 0};
    q->frames[q->depth++] = f;
    return 1;
}

/* Undoes decisions until one that took part in the failure in [lo, hi) has another option; 0 when none is left. */
static int back_up(Search *q, i64 lo, i64 hi) {
    while (q->depth) {
        Frame *f = q->frames + q->depth - 1;
        undo(q, f->trail);
        if (q->pool[f->options + f->taken - 1] >= 0) q->placed--;
        if (f->from < hi && f->to > lo) {
            if (lo < f->lo) f->lo = lo;
            if (hi > f->hi) f->hi = hi;
            if (f->taken < f->count) return 1;
            lo = f->lo; hi = f->hi;
            q->weight[f->niche.section]++;
        }
        q->pool_used = f->options;
        q->depth--;
    }
    return 0;
}

static void raise_least(Search *q, i64 i, i64 level) {
    if (q->offset[i] < 0 && q->least[i] < level) set(q, q->least + i, level);
}

static void advance(Search *q) {
    Frame *f = q->frames + q->depth - 1;
    i64 x = q->pool[f->options + f->taken++];
    if (x < 0) {
        i64 up = -1 - x, s = f->niche.section;
        f->from = s; f->to = s + 1;
        set(q, q->floor + s, up); set(q, q->top + s, -1);
        for (i64 k = q->first_cover[s]; k < q->first_cover[s + 1]; k++) raise_least(q, q->cover[k], up);
        return;
    }
    i64 from = q->start[x], to = q->stop[x], up = f->niche.low + q->size[x];
    f->from = from; f->to = to;
    set(q, q->offset + x, f->niche.low); q->placed++;
    set(q, q->starting + from, q->starting[from] - q->size[x]);
    set(q, q->stopping + to, q->stopping[to] - q->size[x]);
    for (i64 s = from; s < to; s++) {
        set(q, q->floor + s, up); set(q, q->top + s, x);
        set(q, q->total + s, q->total[s] - q->size[x]); set(q, q->count + s, q->count[s] - 1);
        for (i64 k = q->first_cover[s]; k < q->first_cover[s + 1]; k++) {
            i64 i = q->cover[k];
            if (s == from || q->start[i] == s) raise_least(q, i, up);
        }
    }
}

/* 0: out of nodes, 1: found, 2: proved impossible, -1: out of memory. */
static int search(Search *q, i64 limit, i64 *nodes, i64 *offset) {
    i64 lo, hi;
    Niche w;
    if (!search_make(q)) return -1;
    for (i64 s = 0; s < q->m; s++) if (q->total[s] > q->capacity) return 2;
    for (*nodes = 0; q->placed < q->n; ++*nodes) {
        if (*nodes >= limit) return 0;
        if (choose(q, &w, &lo, &hi) >= 0) { if (!open_frame(q, &w)) return -1; }
        else if (!back_up(q, lo, hi)) return 2;
        advance(q);
        if (q->out_of_memory) return -1;
    }
    memcpy(offset, q->offset, (size_t)q->n * sizeof(i64));
    return 1;
}

/* ---- Python ------------------------------------------------------------------------------------------------------ */

#define AT(address) ((i64 *)(intptr_t)(address))

static PyObject *py_skyline(PyObject *self, PyObject *args) {
    long long n, m, start, stop, size, rank, offset;
    int ok;
    (void)self;
    if (!PyArg_ParseTuple(args, "LLLLLLL", &n, &m, &start, &stop, &size, &rank, &offset)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    ok = skyline(n, m, AT(start), AT(stop), AT(size), AT(rank), AT(offset));
    Py_END_ALLOW_THREADS
    if (!ok) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *py_first_fit(PyObject *self, PyObject *args) {
    long long n, m, start, stop, size, step, fixed, order, offset;
    int best_fit, ok;
    (void)self;
    if (!PyArg_ParseTuple(args, "LLLLLLLLiL", &n, &m, &start, &stop, &size, &step, &fixed, &order, &best_fit, &offset))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    ok = first_fit(n, m, AT(start), AT(stop), AT(size), AT(step), AT(fixed), AT(order), best_fit, AT(offset));
    Py_END_ALLOW_THREADS
    if (!ok) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *py_search(PyObject *self, PyObject *args) {
    long long n, m, start, stop, size, rank, weight, capacity, limit, offset;
    i64 nodes = 0;
    int status;
    (void)self;
    if (!PyArg_ParseTuple(args, "LLLLLLLLLL", &n, &m, &start, &stop, &size, &rank, &weight, &capacity, &limit, &offset))
        return NULL;
    Search q;
    memset(&q, 0, sizeof q);
    q.n = n; q.m = m; q.capacity = capacity; q.weight = AT(weight);
    q.start = AT(start); q.stop = AT(stop); q.size = AT(size); q.rank = AT(rank);
    Py_BEGIN_ALLOW_THREADS
    status = search(&q, limit, &nodes, AT(offset));
    free(q.arena.block); free(q.trail); free(q.pool); free(q.frames);
    Py_END_ALLOW_THREADS
    if (status < 0) return PyErr_NoMemory();
    return Py_BuildValue("(iL)", status, (long long)nodes);
}

static PyMethodDef methods[] = {
    {"skyline", py_skyline, METH_VARARGS, "skyline(n, m, *start, *stop, *size, *rank, *offset): see pure_skyline.py"},
    {"first_fit", py_first_fit, METH_VARARGS, "first_fit(n, m, *start, *stop, *size, *step, *fixed, *order, best_fit, *offset): see pure_first_fit.py"},
    {"search", py_search, METH_VARARGS, "search(n, m, *start, *stop, *size, *rank, *weight, capacity, limit, *offset) -> (status, nodes): see pure_search.py"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernel", "Compiled inner loops of the planner.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModule_Create(&module); }
