// The conversation with the exchange, and what it tells unasked.
import { useEffect, useRef, useState } from "./vendor/hooks.js";
import * as api from "./api.js";
import { html, time } from "./parts.js";

const QUESTION = [{ label: "Yes", says: "yes" }, { label: "No", says: "no" }];
const MOST = 300;

export function Chat({ news, me, said }) {
  const [lines, setLines] = useState([]);
  const [busy, setBusy] = useState(false);
  const end = useRef(null);
  const told = useRef(0);
  const add = (...more) => setLines((old) => [...old, ...more].slice(-MOST));

  const say = async (text) => {
    add({ mine: true, text, at: new Date() });
    setBusy(true);
    try {
      const answers = await api.post("/say", { text });
      add(...answers.map((answer) => ({ ...answer, at: new Date() })));
      said(); // what is shown beside may be another
    } catch (error) {
      add({ text: error.message, failed: true, at: new Date() });
    } finally {
      setBusy(false);
    }
  };

  useEffect(() => {
    if (busy) return; // what was answered comes first
    const fresh = news.heard.filter((event) => event.number >= told.current);
    told.current = news.count;
    add(...fresh.filter((event) => event.words).map((event) => ({
      text: event.words, at: new Date(), choices: event.kind === "question" ? QUESTION : [],
    })));
  }, [news.count, busy]);
  useEffect(() => { end.current.scrollTop = end.current.scrollHeight; }, [lines]);

  const submit = (event) => {
    event.preventDefault();
    const field = event.target.elements.said;
    const text = field.value.trim();
    if (!text || busy) return;
    field.value = "";
    say(text);
  };
  return html`<aside aria-label="Chat with your exchange">
    <div class="lines" role="log" tabindex="0" aria-label="What was said" ref=${end}>
      ${!lines.length && html`<p class="quiet">Say what you want, ${me.name || "please"}: “Call Bob”,
        “remind me at 5 to take my pills”, “help”.</p>`}
      ${lines.map((line) => html`<div class=${line.mine ? "line mine" : line.failed ? "line error" : "line"}>
        <p>${line.text}</p>
        ${line.picture && html`<img src=${line.picture} alt="QR code or chart that goes with this message" />`}
        ${(line.choices || []).map((choice) => html`<button type="button" aria-disabled=${busy} onClick=${() => busy || say(choice.says)}>${choice.label}</button>`)}
        <time>${time(line.at)}</time></div>`)}
    </div>
    <form onSubmit=${submit}>
      <label class="hidden" for="said">Say to your exchange</label>
      <input id="said" name="said" maxlength="1000" autocomplete="off" placeholder="Call +1 202 555 0143 …" />
      <button aria-disabled=${busy}>Say</button>
    </form></aside>`;
}
