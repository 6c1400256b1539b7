// The tiles from the server: a snapshot, then every change, while the page is visible.

const DASHBOARD = "/v1/dashboard";
/** The server sends a heartbeat every fifteen seconds. */
const TIMEOUT_MS = 40_000;
const RETRY_MS = 3_000;

/** Calls *onSnapshot* and *onChanges* with the data, and *onConnection* with true or false. */
export function follow({ onSnapshot, onChanges, onConnection }) {
  let lastEventId = "";
  let source = null;
  let receivedAt = 0;
  let timer = 0;

  function receive(data, handle) {
    receivedAt = performance.now();
    lastEventId = data.last_event_id;
    handle(data);
    onConnection(true);
  }

  function close() {
    clearTimeout(timer);
    if (source !== null) source.close();
    source = null;
  }

  function open() {
    close();
    receivedAt = performance.now();
    // A reconnecting EventSource sends Last-Event-ID; a new one cannot.
    source = new EventSource(`${DASHBOARD}?after=${encodeURIComponent(lastEventId)}`);
    source.addEventListener("snapshot", (event) => receive(JSON.parse(event.data), onSnapshot));
    source.addEventListener("changes", (event) => receive(JSON.parse(event.data), onChanges));
    source.addEventListener("heartbeat", () => {
      receivedAt = performance.now();
      onConnection(true);
    });
    source.addEventListener("error", () => {
      onConnection(false);
      if (source !== null && source.readyState === EventSource.CLOSED) retryLater();
    });
  }

  function retryLater() {
    close();
    timer = setTimeout(read, RETRY_MS * (1 + Math.random()));
  }

  async function read() {
    try {
      const response = await fetch(DASHBOARD);
      if (response.status === 401 || response.status === 403) {
        location.reload(); // the session has ended: the server redirects to the login page
        return;
      }
      if (!response.ok) throw new Error(`${response.status}`);
      receive(await response.json(), onSnapshot);
    } catch {
      onConnection(false);
      retryLater();
      return;
    }
    if (!document.hidden) open();
  }

  // A browser opens six connections per host over HTTP/1.1: a hidden page must not hold one.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else open();
  });
  setInterval(() => {
    if (source !== null && performance.now() - receivedAt > TIMEOUT_MS) {
      onConnection(false);
      open();
    }
  }, 5_000);
  read();
}
