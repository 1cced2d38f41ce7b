// The page as a whole: the way in, the views, and the chat beside them.
import { render } from "./vendor/preact.js";
import { useEffect, useState } from "./vendor/hooks.js";
import * as api from "./api.js";
import { html, setZone } from "./parts.js";
import { Chat } from "./chat.js";
import { Live, History, WholeCall } from "./calls.js";
import { Agenda, Contacts, Mail, Menus, Money, Phones, Programs } from "./views.js";
import { Numbers } from "./numbers.js";
import { Redirects } from "./week.js";

const VIEWS = {
  now: ["Now", Live],
  history: ["History", History],
  mail: ["Voicemail", Mail],
  contacts: ["Contacts", Contacts],
  redirects: ["Redirects", Redirects],
  agenda: ["Agenda", Agenda],
  numbers: ["Numbers", Numbers],
  menus: ["Menus", Menus],
  money: ["Money", Money],
  phones: ["Phones", Phones],
  programs: ["Programs", Programs],
};
const MOST_HEARD = 200;

function usePlace() {
  const read = () => location.hash.slice(1).split("/").filter(Boolean);
  const [place, set] = useState(read);
  useEffect(() => {
    const moved = () => set(read());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return place;
}

function Page({ me }) {
  const [name = "now", id] = usePlace();
  const [news, setNews] = useState({ count: 0, heard: [] });
  const [connected, setConnected] = useState(false);
  useEffect(() => api.listen((event) => setNews(({ count, heard }) => (
    { count: count + 1, heard: [...heard.slice(-MOST_HEARD), { ...event, number: count }] }
  )), setConnected), []);
  const [title, View] = VIEWS[name] || VIEWS.now;
  const leave = async () => {
    await api.remove("/session");
    location.reload();
  };
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.querySelector("main").focus(); }}>To the content</a>
    <header>
      <h1>EncryptoTel</h1>
      <span class=${connected ? "dot on" : "dot"} role="status">${connected ? "connected" : "connecting …"}</span>
      <span class="who">${me.name || "You"}, number ${me.extension}</span>
      <button type="button" class="plain" onClick=${leave}>Log out</button>
    </header>
    <nav aria-label="Views"><ul>${Object.entries(VIEWS).map(([key, [label]]) => html`
      <li><a href=${"#" + key} aria-current=${key === name ? "page" : null}>${label}</a></li>`)}</ul></nav>
    <main tabindex="-1">
      <h2>${title}</h2>
      ${name === "history" && id ? html`<${WholeCall} id=${id} news=${news} />` : html`<${View} news=${news} me=${me} />`}
    </main>
    <${Chat} news=${news} me=${me} said=${() => setNews((old) => ({ ...old, count: old.count + 1 }))} />`;
}

const Alone = ({ children }) => html`<div class="alone"><h1>EncryptoTel</h1>${children}</div>`;

function Door() {
  const [state, set] = useState({});
  useEffect(() => {
    (async () => {
      const token = /^#([0-9a-f]{32})$/.exec(location.hash);
      try {
        if (token) {
          history.replaceState(null, "", location.pathname);
          await api.enter(token[1]);
        }
        const me = await api.get("/me");
        setZone(me.timezone);
        api.whenLeft(() => set({ error: { status: 401 } }));
        set({ me });
      } catch (error) {
        set({ error });
      }
    })();
  }, []);
  if (state.me) return html`<${Page} me=${state.me} />`;
  if (!state.error) return html`<${Alone}><p>One moment …</p></${Alone}>`;
  const known = state.error.status === 401;
  return html`<${Alone}>
    <p role="alert">${known ? "You are not logged in." : state.error.message}</p>
    <p>Write “open the console” to your exchange, in Telegram, in Jabber or at its prompt. It answers
    with a link to this page that is good once.</p></${Alone}>`;
}

const page = document.getElementById("page");
page.replaceChildren();
render(html`<${Door} />`, page);
