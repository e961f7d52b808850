// What makes a page of Markdown: a file of its own, since nothing of it is needed before there is an answer.
export { MarkdownStream } from "./blocks";
export { showHtml } from "./sanitise";
