// Parts of the page that are not there when it opens (seldom_loaded.ts).
export { Forgot } from "./account/forgot";
export { Register } from "./account/register";
export { Reset } from "./account/reset";
export { AllowanceLine } from "./allowance_line";
export { FeedbackForm } from "./feedback_form";
export { QuestionEditor } from "./question_editor";
export { Sheet } from "./sheet";
export { Viewer } from "./viewer";
