import { render } from "preact";
import { Application } from "./application";
import { listenForShortcuts } from "./keys/shortcuts";
import { loadReader } from "./markdown/loaded";
import "./style/app.css";
import { followTheme } from "./theme/theme";
import { App } from "./view/app";
import { followViewport } from "./view/viewport";
import { language } from "./words/words";

export * from "./shared";

const application = new Application();
const root = document.getElementById("chat");
if (!root) throw new Error("The page has no element #chat");
document.documentElement.lang = language;
followTheme();
followViewport();
listenForShortcuts();
render(<App application={application} />, root);
void application.start();
loadReader();
