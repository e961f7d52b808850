import assert from "node:assert/strict";
import { test } from "node:test";
import { entranceInAddress, isFor, linkInAddress } from "../src/account/place";
import { complaintsOf, isClear, missing, waitWords } from "../src/view/account/complaints";

const refusal = (code: string, details: Record<string, unknown> = {}) => ({ code, message: "as the server says", details });

test("a place of the entrance is found in its address, and every other address is the chat's", () => {
  const places = ["/register", "/forgot", "/reset", "/reset/MQ/abc-def", "/", "/t/00000000-0000-0000-0000-000000000000", "/registered"];
  assert.deepEqual(places.map(entranceInAddress), ["register", "forgot", "reset", "reset", "sign-in", "sign-in", "sign-in"]);
});

test("a link has a person and a token, and nothing else", () => {
  assert.deepEqual(linkInAddress("/reset/MQ/abc-def"), { uid: "MQ", token: "abc-def" });
  assert.deepEqual(linkInAddress("/reset/MQ/abc-def/"), { uid: "MQ", token: "abc-def" });
  for (const path of ["/reset", "/reset/MQ", "/reset/MQ/", "/reset/MQ/a/b", "/t/reset/MQ/a"]) assert.equal(linkInAddress(path), null, path);
});

test("it is known whom a link is for", () => {
  assert.ok(isFor({ uid: "MTIz", token: "" }, "123"));
  assert.ok(isFor({ uid: "MTIz", token: "" }, 123));
  assert.ok(!isFor({ uid: "MTIz", token: "" }, "12"));
  assert.ok(!isFor({ uid: "%%%", token: "" }, "12"));
});

test("a refusal is said at the field that it is about, when the form has it", () => {
  const signIn = ["username", "password"];
  assert.deepEqual(complaintsOf(refusal("INVALID_CREDENTIALS"), signIn), { form: null, fields: { password: ["The user name or the password is not right."] } });
  assert.deepEqual(Object.keys(complaintsOf(refusal("WRONG_PASSWORD"), ["old_password", "new_password"]).fields), ["old_password"]);
  assert.deepEqual(Object.keys(complaintsOf(refusal("WRONG_PASSWORD"), ["password"]).fields), ["password"]);
  assert.deepEqual(complaintsOf(refusal("NAME_TAKEN"), ["email"]).fields, {});
  assert.notEqual(complaintsOf(refusal("NAME_TAKEN"), ["email"]).form, null);
});

test("all problems are said, each at its field, and what belongs to no field for the form", () => {
  const problems = [
    { field: "password", problem: "this password is too short." },
    { field: "password", problem: "this password is too common" },
    { field: "session", problem: "input should be 'cookie'" },
  ];
  assert.deepEqual(complaintsOf(refusal("PASSWORD_TOO_WEAK", { problems }), ["username", "password"]), {
    form: "Input should be 'cookie'.",
    fields: { password: ["This password is too short.", "This password is too common."] },
  });
});

test("whatever the server answers, something is said", () => {
  for (const details of [{}, { problems: null }, { problems: [] }, { problems: [null, 7, { field: "password" }] }, { problems: [{ field: "password", problem: "" }] }]) {
    assert.ok(!isClear(complaintsOf(refusal("SOMETHING_NEW", details), ["password"])), JSON.stringify(details));
  }
});

test("only what is needed is missing; a name of spaces is none, a password of spaces is one", () => {
  const given = { username: "  ", email: "", password: "   " };
  assert.deepEqual(missing(given, ["username", "password"]), { form: null, fields: { username: ["Give a user name."] } });
  assert.ok(isClear(missing({ username: "a", password: "b" }, ["username", "password"])));
});

test("a wait is told by the clock, and a long one in hours", () => {
  assert.deepEqual([1, 59, 60, 3599, 3600, 7300].map(waitWords), [
    "Try again in 0:01", "Try again in 0:59", "Try again in 1:00", "Try again in 59:59", "Try again in 1 hour", "Try again in 3 hours",
  ]);
});
