// What stands in the page: see PageView in page_record.py.
() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const textOf = (element) => {
    const copy = element.cloneNode(true);
    for (const control of all("button, [role=toolbar], .code-head", copy)) control.remove();
    return copy.textContent;
  };
  const composer = document.querySelector('[data-testid="composer"]');
  const conversation = document.querySelector("main.conversation");
  const screen = composer ? "chat" : document.querySelector('[data-testid="sign-in-form"]') ? "sign-in" : "blank";
  const messages = all('[data-testid="message"]').map((message) => {
    const { role, messageId, runId, status } = message.dataset;
    const answer = message.querySelector(":scope > .answer");
    const body = role === "user" ? message.querySelector(".bubble") : answer;
    const unread = role !== "user" && answer !== null && (answer.matches(".unread") || answer.querySelector(".unread") !== null);
    return { role, id: messageId || null, run_id: runId ?? null, status, text: body ? textOf(body) : "", unread };
  });
  const queued = all('[data-testid="queued"]').map((item) => ({ id: item.dataset.messageId, text: item.querySelector(".queue-text").textContent }));
  const signs = {
    activity: '[data-testid="activity"]',
    spinner: ".spinner",
    "an answer that is being written": 'main [aria-busy="true"]',
    "the stop button": '[data-testid="stop"]',
    "a busy row": '[data-testid="thread"][data-busy="true"]',
    "a running step": '[data-testid="step"][data-status="running"]',
  };
  const moving = Object.entries(signs).flatMap(([name, selector]) => all(selector).map(() => name));
  const wide = [document.scrollingElement, ...all(".scroller")].map((each) => each.scrollWidth - each.clientWidth);
  const seen = composer?.getBoundingClientRect();
  const connection = document.querySelector('[data-testid="connection"]');
  return {
    screen,
    thread_id: /^\/t\/([\w-]+)/.exec(location.pathname)?.[1] ?? null,
    loaded: conversation !== null && conversation.querySelector(".loading") === null,
    connection: connection?.dataset.state ?? "",
    messages,
    queued,
    moving,
    approvals: all('[data-testid="approval"]').length,
    sideways: Math.max(...wide),
    composer: Boolean(composer && !composer.disabled && !composer.readOnly && seen.width > 0 && seen.bottom <= innerHeight && seen.top >= 0),
  };
}
