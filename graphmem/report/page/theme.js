// Light or dark: as the system has it, until the button is pressed.
"use strict";

const themeButton = document.getElementById("theme");
function theme(name) {
  document.documentElement.dataset.theme = name;
  themeButton.textContent = name === "dark" ? "light" : "dark";
}
themeButton.onclick = () => theme(themeButton.textContent);
theme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => theme(event.matches ? "dark" : "light"));
