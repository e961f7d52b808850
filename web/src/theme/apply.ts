// Light, dark, or as the system: kept in the browser, and set on the root element, which the tokens look at.
import { keep, kept, PREFIX } from "../chat/storage";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

export const THEME_KEY = `${PREFIX}.theme`;

export function keptTheme(): Theme {
  const name = kept(THEME_KEY);
  return THEMES.find((theme) => theme === name) ?? "system";
}

export function keepTheme(theme: Theme): void {
  keep(THEME_KEY, theme === "system" ? "" : theme);
}

export function applyTheme(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
}
