// The theme as the page's views see it. Other tabs follow.
import { signal } from "@preact/signals";
import { applyTheme, keepTheme, keptTheme, type Theme, THEME_KEY } from "./apply";

export const theme = signal<Theme>("system");

export function chooseTheme(chosen: Theme): void {
  keepTheme(chosen);
  show(chosen);
}

export function followTheme(): void {
  show(keptTheme());
  addEventListener("storage", (event) => {
    if (event.key === THEME_KEY || event.key === null) show(keptTheme());
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", colourBrowser);
}

function show(chosen: Theme): void {
  theme.value = chosen;
  applyTheme(chosen);
  colourBrowser();
}

/** What the browser draws around the page has the page's colour, which only the tokens know. */
function colourBrowser(): void {
  const colour = getComputedStyle(document.body).backgroundColor;
  document.querySelector('meta[name="theme-color"]')?.setAttribute("content", colour);
}
