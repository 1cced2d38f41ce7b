// Calls that go on, calls that were, and one call looked into.
import { useEffect, useState } from "./vendor/hooks.js";
import * as api from "./api.js";
import { Ask, Asked, Do, clock, html, useAsked, when } from "./parts.js";

const LOOK_EVERY = 1000;

// ── calls that go on ─────────────────────────────────────────────────────────────────────────
export function Live({ news }) {
  const calls = useAsked(() => api.get("/calls"), [news.count]);
  const going = Boolean(calls.value && calls.value.length);
  useEffect(() => {
    if (!going) return undefined;
    const timer = setInterval(calls.again, LOOK_EVERY);
    return () => clearInterval(timer);
  }, [going, calls.again]);
  const place = (to) => api.post("/calls", { to });
  return html`<${Ask} label="Call" hint="a number or a name" button="Call" taken=${place} />
    <${Asked} of=${calls} empty="No call goes on.">${(found) => html`
      <ul class="cards">${found.map((call) => html`<${LiveCall} key=${call.id} call=${call} again=${calls.again} />`)}</ul>`}</${Asked}>`;
}

function LiveCall({ call, again }) {
  const path = `/calls/${call.id}`;
  const order = (label, what) => html`<${Do} label=${label} title=${`${label} the call with ${call.callee}`} what=${() => api.post(path + "/control", { do: what })} then=${again} />`;
  const state = call.held ? "on hold" : call.joined ? "connected" : "ringing";
  return html`<li class=${"card " + (call.joined ? "joined" : "ringing")}>
    <p><strong>${call.caller} ↔ ${call.callee}</strong> <span class="state">${state}</span>
      <span> ${clock(call.seconds)}</span>${call.recording && html` <span class="state">recording</span>`}</p>
    ${call.levels.map((level) => html`<${Level} ...${level} />`)}
    <div class="row">
      ${call.incoming && html`${order("Answer", "answer")}${order("Reject", "reject")}${order("Answerphone", "mailbox")}`}
      ${call.joined && html`
        ${call.held ? order("Resume", "resume") : order("Hold", "hold")}
        ${call.muted ? order("Unmute", "unmute") : order("Mute", "mute")}
        ${call.recording ? order("Stop recording", "stop recording") : order("Record", "record")}`}
      <a class="button" href=${"#history/" + call.id}>Ladder</a>
      <${Do} label="Hang up" kind="bad" what=${() => api.remove(path)} then=${again} />
    </div></li>`;
}

function Level({ who, dbfs }) {
  return html`<label class="level">${who} <meter min="-60" max="0" value=${Math.max(-60, dbfs)}>${Math.round(dbfs)} dBFS</meter></label>`;
}

// ── calls that were ──────────────────────────────────────────────────────────────────────────
export function History({ news }) {
  const [q, setQ] = useState("");
  const [missed, setMissed] = useState(false);
  const [more, setMore] = useState([]);
  const first = useAsked(() => api.get("/history", { q, missed }), [q, missed, news.count]);
  useEffect(() => setMore([]), [q, missed]);
  const next = more.length ? more[more.length - 1].next : first.value && first.value.next;
  const further = async () => {
    const page = await api.get("/history", { q, missed, cursor: next });
    setMore((old) => [...old, page]);
  };
  return html`<form class="ask" role="search" onSubmit=${(event) => event.preventDefault()}>
      <label>Search <input type="search" placeholder="name or number" maxlength="80"
        onInput=${(event) => setQ(event.target.value)} /></label>
      <label><input type="checkbox" onChange=${(event) => setMissed(event.target.checked)} /> missed only</label></form>
    <${Asked} of=${first}>${(page) => html`
      <${Table} calls=${[page, ...more].flatMap((one) => one.items)} />
      ${next && html`<${Do} label="Earlier calls" what=${further} />`}`}</${Asked}>`;
}

function Table({ calls }) {
  if (!calls.length) return html`<p class="quiet">No calls.</p>`;
  return html`<div class="wide" tabindex="0" role="region" aria-label="Calls"><table><thead><tr><th>When</th><th>With</th><th>How</th><th>Length</th><th><span class="hidden">More</span></th></tr></thead>
    <tbody>${calls.map((call) => html`<tr key=${call.id}><td>${when(call.at)}</td><td>${call.peer}</td>
      <td>${call.incoming ? (call.answered ? "came in" : "missed") : call.answered ? "went out" : "not answered"}</td>
      <td>${call.answered ? clock(call.seconds) : "–"}</td>
      <td><a href=${"#history/" + call.id} aria-label=${`Look into the call with ${call.peer}`}>Look</a></td></tr>`)}</tbody></table></div>`;
}

// ── one call ─────────────────────────────────────────────────────────────────────────────────
export function WholeCall({ id, news }) {
  const call = useAsked(() => api.get("/history/" + encodeURIComponent(id)), [id, news.count]);
  return html`<p><a href="#history">All calls</a></p><${Asked} of=${call}>${(found) => html`
    <p><strong>${found.call.peer}</strong>, ${when(found.call.at)}, ${found.call.answered ? clock(found.call.seconds) : "not answered"}
      ${found.cause && `: ${found.cause}`}</p>
    ${found.private && html`<p>Private: encrypted from phone to phone.</p>`}
    <h3>How good it was</h3><${Quality} legs=${found.legs} />
    <h3>What the phones and the exchange said to each other</h3><${Ladder} messages=${found.messages} />`}</${Asked}>`;
}

function Quality({ legs }) {
  if (!legs.length) return html`<p class="quiet">Nothing was measured yet.</p>`;
  return html`<div class="wide" tabindex="0" role="region" aria-label="Quality"><table><thead><tr><th>Side</th><th>Sound</th><th>Good (1 to 4.5)</th><th>Lost</th><th>Jitter</th><th>Round trip</th></tr></thead>
    <tbody>${legs.map((leg) => html`<tr><td>${leg.who}${leg.line && `, line ${leg.line}`}</td>
      <td>${leg.codec || "none"}${leg.encrypted ? ", encrypted" : ""}</td>
      <td>${leg.mos == null ? "–" : html`<meter min="1" max="4.5" low="3" high="3.6" optimum="4.5" value=${leg.mos}>${leg.mos}</meter> ${leg.mos.toFixed(1)}`}</td>
      <td>${leg.lost} of ${leg.lost + leg.received}</td><td>${leg.jitter_ms.toFixed(1)} ms</td>
      <td>${leg.round_trip_ms == null ? "–" : `${leg.round_trip_ms.toFixed(0)} ms`}</td></tr>`)}</tbody></table></div>`;
}

const ROW = 30, WIDE = 220, LEFT = 110;

function Ladder({ messages }) {
  if (!messages.length) return html`<p class="quiet">No messages were kept for this call.</p>`;
  const peers = [...new Set(messages.map((one) => one.peer))];
  const columns = [peers[0], "EncryptoTel", ...peers.slice(1)];
  const x = (name) => LEFT + columns.indexOf(name) * WIDE;
  const start = new Date(messages[0].at);
  const width = LEFT + (columns.length - 1) * WIDE + 90, height = 50 + messages.length * ROW;
  return html`<div class="wide" tabindex="0" role="region" aria-label="Ladder"><svg class="ladder" role="img" width=${width} height=${height} viewBox="0 0 ${width} ${height}"
      aria-label=${`${messages.length} messages between ${columns.join(", ")}`}>
    ${columns.map((name) => html`<text x=${x(name)} y="16" text-anchor="middle" class="name">${name}</text>
      <line x1=${x(name)} x2=${x(name)} y1="26" y2=${height} class="life" />`)}
    ${messages.map((one, index) => {
      const y = 50 + index * ROW;
      const [from, to] = one.sent ? [x("EncryptoTel"), x(one.peer)] : [x(one.peer), x("EncryptoTel")];
      const back = to < from ? 1 : -1;
      return html`<g><title>${one.summary}</title>
        <text x="4" y=${y + 4} class="at">${((new Date(one.at) - start) / 1000).toFixed(3)}</text>
        <line x1=${from} x2=${to} y1=${y} y2=${y} class="arrow" />
        <path d="M${to} ${y}l${back * 9} -4v8z" class="head" />
        <text x=${(from + to) / 2} y=${y - 5} text-anchor="middle">${short(one.summary)}</text></g>`;
    })}</svg></div>`;
}

const short = (summary) => {
  const text = summary.startsWith("SIP/2.0 ") ? summary.slice(8) : summary.split(" ")[0];
  return text.length > 28 ? text.slice(0, 27) + "…" : text;
};
