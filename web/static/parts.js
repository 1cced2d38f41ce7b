// What several views are made of.
import { h, Fragment } from "./vendor/preact.js";
import { useCallback, useEffect, useState } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";

export const html = htm.bind(h);
export { Fragment };

// Times are by the person's clock, as in the chat, wherever the browser is.
let zone;
export const setZone = (name) => {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    zone = name;
  } catch { /* one that this browser does not know: its own, then */ }
};
export const time = (at) => new Date(at).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: zone });
export const day = (at) =>
  new Date(at).toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short", timeZone: zone });
export const when = (at) => `${day(at)} ${time(at)}`;
export const clock = (seconds) =>
  `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
export const isoDay = (date) => date.toLocaleDateString("sv-SE", { timeZone: zone });

// Something asked of the exchange: asked again when one of `on` changes, or when told to.
export function useAsked(ask, on = []) {
  const [state, set] = useState({ value: null, error: null });
  const again = useCallback(() => {
    let wanted = true;
    ask().then((value) => wanted && set({ value, error: null }), (error) => wanted && set((old) => ({ ...old, error })));
    return () => { wanted = false; };
  }, on);
  useEffect(again, [again]);
  return { ...state, again };
}

// Shows what was asked for, why it was not answered, or that it is still awaited.
export function Asked({ of, empty, children }) {
  if (of.error) return html`<p class="error" role="alert">${of.error.message}</p>`;
  if (of.value === null) return html`<p class="quiet">One moment …</p>`;
  if (Array.isArray(of.value) && !of.value.length && empty) return html`<p class="quiet">${empty}</p>`;
  return children(of.value);
}

// A button that does something, and says so when it could not be done.
export function Do({ label, what, then, kind = "", title }) {
  const [busy, setBusy] = useState(null); // with what: “Hold” becomes “Resume” before it is answered
  const [wrong, setWrong] = useState("");
  const press = async () => {
    if (busy === label) return; // a button that is disabled would lose the keyboard
    setBusy(label);
    setWrong("");
    try {
      await what();
      then && then();
    } catch (error) {
      setWrong(error.message);
    }
    setBusy((now) => (now === label ? null : now));
  };
  return html`<span class="do"><button type="button" class=${kind} title=${title} aria-disabled=${busy === label}
    onClick=${press}>${label}</button>${wrong && html`<span class="error" role="alert"> ${wrong}</span>`}</span>`;
}

// One line to type into. `taken` may refuse by throwing.
export function Ask({ label, hint, button, taken, type = "text", most = 80 }) {
  const [error, set] = useState("");
  const submit = async (event) => {
    event.preventDefault();
    const form = event.target;
    const field = form.elements[0];
    if (!field.value.trim()) return;
    set("");
    try {
      await taken(field.value.trim());
      form.reset();
    } catch (refused) {
      set(refused.message);
    }
  };
  return html`<form class="ask" onSubmit=${submit}><label>${label}
    <input type=${type} placeholder=${hint} maxlength=${most} autocomplete="off" /></label>
    <button>${button}</button>${error && html`<span class="error" role="alert">${error}</span>`}</form>`;
}
