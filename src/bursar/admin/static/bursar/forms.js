// Ignore a second Enter or click before the response, so that the first response is shown (it may
// contain a secret). The server runs the action once in any case: every form has a one-time token.
const IGNORED_MILLISECONDS = 5000;
document.addEventListener("submit", (event) => {
  const sent = event.target.dataset;
  if (event.timeStamp - Number(sent.sentAt ?? -Infinity) < IGNORED_MILLISECONDS) {
    event.preventDefault();
    return;
  }
  sent.sentAt = String(event.timeStamp);
});
// A form restored by the back button may be submitted at once.
window.addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sentAt;
});
