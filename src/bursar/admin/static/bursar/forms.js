// A second Enter or click before the answer is ignored, so that the first answer is the one shown
// (it may hold a secret). The server decides once in any case: every form has a one-time token.
const IGNORED_MILLISECONDS = 5000;
document.addEventListener("submit", (event) => {
  const sent = event.target.dataset;
  if (event.timeStamp - Number(sent.sentAt ?? -Infinity) < IGNORED_MILLISECONDS) {
    event.preventDefault();
    return;
  }
  sent.sentAt = String(event.timeStamp);
});
// A form that the browser brings back may be sent at once.
window.addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sentAt;
});
