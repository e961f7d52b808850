import { render } from "preact";
import { Application } from "./application";
import "./style/app.css";
import { App } from "./view/app";
import { language } from "./words/words";

const application = new Application();
const root = document.getElementById("chat");
if (!root) throw new Error("The page has no element #chat");
document.documentElement.lang = language;
render(<App application={application} />, root);
void application.start();
