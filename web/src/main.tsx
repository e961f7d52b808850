import { render } from "preact";
import { Application } from "./application";
import "./style/app.css";
import { App } from "./view/app";

const application = new Application();
const root = document.getElementById("chat");
if (!root) throw new Error("The page has no element #chat");
render(<App application={application} />, root);
void application.start();
