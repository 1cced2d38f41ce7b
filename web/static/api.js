// The exchange's API, as this page uses it.
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || "The exchange does not answer.");
    this.status = status;
    this.id = problem.id || "";
  }
}

let left = () => {};
// What is done when the session is over, whoever ended it.
export const whenLeft = (then) => { left = then; };

async function request(method, path, body) {
  const headers = { "x-console": "1" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (method === "POST") headers["idempotency-key"] = crypto.randomUUID();
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Refused(0, { detail: "The exchange cannot be reached. Is it running?" });
  }
  const type = answer.headers.get("content-type") || "";
  if (answer.status === 401) left();
  if (!answer.ok) throw new Refused(answer.status, type.includes("json") ? await answer.json() : {});
  if (type.includes("json")) return answer.json();
  return answer.status === 204 ? null : answer.text();
}

const at = (path) => new URL("../v1" + path, location.href.split("#")[0]).href;
export const url = at;
export const get = (path, query = {}) => {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value != null);
  const words = new URLSearchParams(given).toString();
  return request("GET", at(path) + (words && "?" + words));
};
export const post = (path, body) => request("POST", at(path), body);
export const put = (path, body) => request("PUT", at(path), body);
export const remove = (path) => request("DELETE", at(path));
export const enter = (token) => request("POST", "enter", { token });

// What happens, as it happens. The browser comes again by itself and says what it heard last.
export function listen(heard, state) {
  const source = new EventSource(at("/events"));
  const kinds = ["placed", "incoming", "ringing", "answered", "joined", "held", "resumed", "muted",
    "unmuted", "recording", "not_recording", "recorded", "private", "not_private", "transferred",
    "conferring", "named", "broadcast", "broadcast_over", "speaking", "notice", "question", "missed",
    "voicemail", "text", "reminder", "reminder_again", "invoice", "consent", "moved", "ended", "gap"];
  for (const kind of kinds) source.addEventListener(kind, (event) => heard(JSON.parse(event.data)));
  source.onopen = () => state(true);
  source.onerror = () => {
    state(false);
    if (source.readyState === EventSource.CLOSED) get("/me").catch(() => {}); // told why, if it is over
  };
  return () => source.close();
}
