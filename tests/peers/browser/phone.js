// A phone in a browser, by SIP.js. It sends a tone of its own, and tells which tone it hears.
import { UserAgent, Registerer, Inviter, SessionState, Web } from "/sip.js/index.js";

const RATE = 48000;
const heard = { samples: [], pictures: 0 };

// ── what is sent ─────────────────────────────────────────────────────────────────────────
function tone(hertz) {
  const track = new MediaStreamTrackGenerator({ kind: "audio" });
  const writer = track.writable.getWriter();
  const length = RATE / 50;
  let at = 0;
  setInterval(() => {
    const data = new Float32Array(length);
    for (let n = 0; n < length; n++) data[n] = 0.3 * Math.sin((2 * Math.PI * hertz * (at + n)) / RATE);
    const frame = new AudioData({
      format: "f32", sampleRate: RATE, numberOfFrames: length, numberOfChannels: 1,
      timestamp: Math.round((at / RATE) * 1e6), data,
    });
    at += length;
    writer.write(frame);
  }, 20);
  return track;
}

function picture() {
  const canvas = document.createElement("canvas");
  canvas.width = 320;
  canvas.height = 240;
  const pen = canvas.getContext("2d");
  let at = 0;
  setInterval(() => {
    pen.fillStyle = `hsl(${(at += 7) % 360} 80% 50%)`;
    pen.fillRect(0, 0, 320, 240);
  }, 50);
  return canvas.captureStream(15).getVideoTracks()[0];
}

// ── what is heard ────────────────────────────────────────────────────────────────────────
const known = new WeakSet(); // a track is told of again when it goes on after a hold

async function listen(track) {
  if (known.has(track)) return;
  known.add(track);
  if (track.kind === "audio") {
    const speaker = new Audio(); // what nobody plays is not decoded
    speaker.srcObject = new MediaStream([track]);
    speaker.play();
  }
  const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    if (track.kind === "audio") {
      const one = new Float32Array(value.numberOfFrames);
      value.copyTo(one, { planeIndex: 0, format: "f32-planar" });
      heard.rate = value.sampleRate;
      heard.samples.push(...one);
      if (heard.samples.length > value.sampleRate) heard.samples.splice(0, heard.samples.length - value.sampleRate);
    } else {
      heard.pictures += 1;
      heard.size = [value.displayWidth, value.displayHeight];
    }
    value.close();
  }
}

// The share of a frequency in the sound of the last half second, by Goertzel's algorithm.
function share(hertz) {
  const some = heard.samples.slice(-Math.floor((heard.rate || RATE) / 2));
  const turn = 2 * Math.cos((2 * Math.PI * hertz) / heard.rate);
  let one = 0, two = 0, all = 0;
  for (const sample of some) {
    [one, two] = [sample + turn * one - two, one];
    all += sample * sample;
  }
  return all ? (2 * (one * one + two * two - turn * one * two)) / some.length / all : 0;
}

// ── what is done with it ─────────────────────────────────────────────────────────────────
let agent, session, stream;
const states = [];

function handle(one) {
  session = one;
  one.stateChange.addListener((state) => states.push(state));
}

async function start({ server, number, secret, domain, hertz, video }) {
  stream = new MediaStream([tone(hertz), ...(video ? [picture()] : [])]);
  agent = new UserAgent({
    uri: UserAgent.makeURI(`sip:${number}@${domain}`),
    authorizationUsername: number,
    authorizationPassword: secret,
    transportOptions: { server },
    logConfiguration: false,
    sessionDescriptionHandlerFactory: Web.defaultSessionDescriptionHandlerFactory(async () => stream),
    sessionDescriptionHandlerFactoryOptions: {
      iceGatheringTimeout: 2000,
      peerConnectionConfiguration: { iceServers: [] },
      peerConnectionDelegate: undefined,
    },
    delegate: {
      onInvite: (invitation) => {
        handle(invitation);
        invitation.accept({ sessionDescriptionHandlerOptions: { constraints: { audio: true, video } } });
      },
    },
  });
  await agent.start();
  const registerer = new Registerer(agent);
  await new Promise((resolve, reject) => {
    registerer.stateChange.addListener((state) => state === "Registered" && resolve());
    registerer.register({ requestDelegate: { onReject: (answer) => reject(answer.message.statusCode) } });
  });
}

async function call(number, domain, video) {
  const inviter = new Inviter(agent, UserAgent.makeURI(`sip:${number}@${domain}`), {
    sessionDescriptionHandlerOptions: { constraints: { audio: true, video } },
  });
  handle(inviter);
  await inviter.invite({ requestDelegate: { onReject: ({ message }) => states.push(String(message.statusCode)) } });
}

const ended = () => session.state === SessionState.Established ? session.bye() : session.cancel();

// Puts the other side on hold, or goes on with them.
function hold(held) {
  return new Promise((resolve, reject) => session.invite({
    sessionDescriptionHandlerOptions: { hold: held },
    requestDelegate: { onAccept: resolve, onReject: ({ message }) => reject(message.statusCode) },
  }).catch(reject));
}

const press = (key) => session.sessionDescriptionHandler.sendDtmf(key, { duration: 160, interToneGap: 60 });

// Every peer connection is listened to from its beginning.
const Real = window.RTCPeerConnection;
window.RTCPeerConnection = class extends Real {
  constructor(...given) {
    super(...given);
    this.addEventListener("track", ({ track }) => listen(track));
    window.connection = this;
  }
};

// What somebody wants to know who waited in vain.
async function told() {
  const seen = [...states, heard.samples.length, heard.pictures, connection.iceConnectionState, connection.connectionState];
  for (const one of (await connection.getStats()).values()) {
    if (/candidate|inbound|outbound/.test(one.type)) seen.push(one);
  }
  return JSON.stringify(seen);
}

window.phone = { told, start, call, ended, hold, press, share, states, heard };
