// A file of its own, which the page waits for before it is painted: so it never shows another theme first.
import { applyTheme, keptTheme } from "./apply";

applyTheme(keptTheme());
