// The smaller views: each asks for one thing and shows it.
import { useState } from "./vendor/hooks.js";
import * as api from "./api.js";
import { Ask, Asked, Do, clock, day, html, isoDay, time, useAsked, when } from "./parts.js";

// ── voicemail and recordings ─────────────────────────────────────────────────────────────────
export function Mail({ news }) {
  const mail = useAsked(() => api.get("/voicemail"), [news.count]);
  const recorded = useAsked(() => api.get("/recordings"), [news.count]);
  return html`<${Asked} of=${mail} empty="No voice messages.">${(found) => html`<ul class="cards">${found.map((one) => html`
      <li class="card"><p><strong>${one.peer}</strong>, ${when(one.at)}, ${clock(one.seconds)}</p>
        <${Sound} path=${`/voicemail/${one.id}/sound`} plain=${one.media_type === "audio/ogg"} />
        <${Do} label="Delete" what=${() => api.remove("/voicemail/" + one.id)} then=${mail.again} /></li>`)}</ul>`}</${Asked}>
    <h3>Recordings</h3>
    <${Asked} of=${recorded} empty="No recordings.">${(found) => html`<ul class="cards">${found.map((one) => html`
      <li class="card"><p><strong>${one.peer}</strong>, ${when(one.at)}, ${clock(one.seconds)}</p>
        <${Sound} path=${`/recordings/${one.id}/sound`} /></li>`)}</ul>`}</${Asked}>`;
}

function Sound({ path, plain }) {
  if (plain) return html`<audio controls preload="none" src=${api.url(path)}></audio>`;
  return html`<p><a class="button" href=${api.url(path)} download>Download</a> It is sealed for your key: <code>encryptotel recording open</code> plays it.</p>`;
}

// ── contacts ─────────────────────────────────────────────────────────────────────────────────
export function Contacts({ news }) {
  const found = useAsked(() => api.get("/contacts"), [news.count]);
  const [name, setName] = useState("");
  const keep = async (number) => {
    await api.put("/contacts/" + encodeURIComponent(name), { number });
    setName("");
    found.again();
  };
  return html`<${Ask} label=${name ? `The number of ${name}` : "New contact"} hint=${name ? "+44 …" : "name"} button=${name ? "Save" : "Next"}
      taken=${name ? keep : async (said) => setName(said)} />
    <${Asked} of=${found} empty="Nobody yet.">${(contacts) => html`<ul class="cards">${contacts.map((one) => html`
      <li class="card"><p><strong>${one.name}</strong> ${one.number}</p><div class="row">
        <${Do} label="Call" what=${() => api.post("/calls", { to: one.name })} />
        <${Do} label="Forget" what=${() => api.remove("/contacts/" + encodeURIComponent(one.name))} then=${found.again} /></div></li>`)}</ul>`}</${Asked}>`;
}

// ── reminders ────────────────────────────────────────────────────────────────────────────────
const AHEAD = 7;

export function Agenda({ news }) {
  const days = [...Array(AHEAD).keys()].map((n) => new Date(Date.now() + n * 86_400_000));
  const coming = useAsked(() => Promise.all(days.map((one) => api.get("/agenda", { day: isoDay(one) }))), [news.count]);
  const mine = useAsked(() => api.get("/reminders"), [news.count]);
  return html`<${Asked} of=${coming}>${(found) => html`<ol class="days">${found.map((dues, index) => html`
      <li><h3>${day(days[index])}</h3>${dues.length ? html`<ul>${dues.map((due) => html`<li><time>${time(due.at)}</time> ${due.what}</li>`)}</ul>`
        : html`<p class="quiet">nothing</p>`}</li>`)}</ol>`}</${Asked}>
    <h3>Reminders</h3>
    <${Asked} of=${mine} empty="None. Say: “remind me by phone every weekday at 8 to take my pills”.">${(found) => html`<ul class="cards">${found.map((one) => html`
      <li class="card"><p><strong>${one.text}</strong>, ${when(one.at)}, by ${one.by}${one.rule && `, again (${one.rule})`}${one.paused ? " (resting)" : ""}</p>
        <${Do} label="Cancel" what=${() => api.remove("/reminders/" + one.id)} then=${() => { mine.again(); coming.again(); }} /></li>`)}</ul>`}</${Asked}>`;
}

// ── menus ────────────────────────────────────────────────────────────────────────────────────
export function Menus() {
  const found = useAsked(() => api.get("/menus/picture"));
  return html`<${Asked} of=${found}>${(svg) => html`<img class="menus" alt="The menus that answer callers"
    src=${"data:image/svg+xml;charset=utf-8," + encodeURIComponent(svg)} />`}</${Asked}>`;
}

// ── money ────────────────────────────────────────────────────────────────────────────────────
export function Money({ news }) {
  const balance = useAsked(() => api.get("/balance"), [news.count]);
  const [invoice, setInvoice] = useState(null);
  const [coin, setCoin] = useState("WAVES");
  const ask = async (amount) => setInvoice(await api.post("/invoices", { amount, coin }));
  return html`<${Asked} of=${balance}>${(found) => html`<p>${found.detail}</p>
    ${found.pays && html`<label>Coin <select onChange=${(event) => setCoin(event.target.value)}><option>WAVES</option><option>ETT</option></select></label>
      <${Ask} label="Top up" hint="10" button="Make an invoice" taken=${ask} />`}`}</${Asked}>
    ${invoice && html`<div class="card"><p>Send exactly <strong>${invoice.amount} ${invoice.coin}</strong> to <code>${invoice.address}</code>
      with <code>${invoice.id}</code> as the attachment, until ${when(invoice.until)}. It is worth ${invoice.worth}.</p>
      <img src=${invoice.qr} alt="QR code of the link that opens your wallet" /><p><a class="button" href=${invoice.link} rel="noreferrer">Open the wallet</a></p></div>`}
    ${balance.value && balance.value.pays && html`<${Statement} news=${news} />`}`;
}

function Statement({ news }) {
  const lines = useAsked(() => api.get("/statement"), [news.count]);
  return html`<h3>Statement</h3>
    <${Asked} of=${lines} empty="Nothing yet.">${(found) => html`<div class="wide" tabindex="0" role="region" aria-label="Statement"><table><thead><tr><th>When</th><th>What</th><th>How much</th></tr></thead>
      <tbody>${found.map((line) => html`<tr><td>${when(line.at)}</td><td>${line.what}</td><td>${line.amount}</td></tr>`)}</tbody></table></div>`}</${Asked}>`;
}

// ── phones ───────────────────────────────────────────────────────────────────────────────────
export function Phones({ news }) {
  const found = useAsked(() => api.get("/devices"), [news.count]);
  const [link, setLink] = useState(null);
  const offer = async (name) => setLink(await api.post("/devices", { name }));
  return html`<${Ask} label="Set up a phone called" hint="desk" button="Make a link" taken=${offer} />
    ${link && html`<div class="card"><p>Scan this with Linphone, or open <a href=${link.page}>the link</a> on the phone. It is good once, and for ${link.minutes} minutes.</p>
      <img src=${link.qr} alt=${`QR code that sets “${link.name}” up as number ${link.extension}`} /></div>`}
    <${Asked} of=${found} empty="No phones yet.">${(phones) => html`<ul class="cards">${phones.map((one) => html`
      <li class="card"><p><strong>${one.name || "with the extension's own password"}</strong> ${one.agent}, ${one.since ? `connected since ${when(one.since)}` : "not connected"}</p>
        ${one.id && html`<${Do} label="Shut out" kind="bad" what=${() => api.remove("/devices/" + one.id)} then=${found.again} />`}</li>`)}</ul>`}</${Asked}>`;
}

// ── programs ─────────────────────────────────────────────────────────────────────────────────
const LATEST = 10;

export function Programs({ news }) {
  const found = useAsked(() => api.get("/webhooks"), [news.count]);
  const [shown, setShown] = useState("");
  return html`<p>Programs that are told what happens (webhooks). Keys are made, listed and revoked in the chat: “my API keys”.</p>
    <${Asked} of=${found} empty="None. A program adds its own, with a key of yours.">${(hooks) => html`<ul class="cards">${hooks.map((one) => html`
      <li class="card"><p><strong>${new URL(one.url).host}</strong>: ${one.kinds.join(", ") || "everything"}${one.failing ? ", which did not answer for a day" : ""}</p>
        <div class="row"><${Do} label="Test" what=${() => api.post(`/webhooks/${one.id}/test`)} then=${() => setShown(one.id)} />
          <button type="button" aria-expanded=${shown === one.id} onClick=${() => setShown(shown === one.id ? "" : one.id)}>What it was told</button>
          <${Do} label="Remove" kind="bad" what=${() => api.remove("/webhooks/" + one.id)} then=${found.again} /></div>
        ${shown === one.id && html`<${Deliveries} id=${one.id} />`}</li>`)}</ul>`}</${Asked}>`;
}

function Deliveries({ id }) {
  const found = useAsked(() => api.get(`/webhooks/${id}/deliveries`), [id]);
  return html`<${Asked} of=${found} empty="Nothing yet.">${(told) => html`<ul>${told.slice(0, LATEST).map((one) => html`
    <li>${when(one.at)} ${one.kind}: ${one.state}${one.status ? ` (${one.status})` : ""} <${Do} label="Again" what=${() => api.post(`/webhooks/${id}/deliveries/${one.id}/replay`)} then=${found.again} /></li>`)}</ul>`}</${Asked}>`;
}
