// Amounts are text with all their digits. They are computed with BigInt, because a float would lose some.

const MOST_PLACES = 400;

function decimalOf(text) {
  if (typeof text !== "string") return null;
  const found = /^([+-]?)(\d{0,400})(?:\.(\d{0,400}))?(?:[eE]([+-]?\d{1,4}))?$/.exec(text);
  if (!found || !(found[2] || found[3])) return null;
  const fraction = found[3] || "";
  let units = BigInt(found[2] + fraction);
  let places = fraction.length - Number(found[4] || 0);
  if (Math.abs(places) > MOST_PLACES) return null;
  if (places < 0) {
    units *= 10n ** BigInt(-places);
    places = 0;
  }
  return {units: found[1] === "-" ? -units : units, places};
}

function roundedTo(size, places, digits) {
  if (places <= digits) return size * 10n ** BigInt(digits - places);
  const unit = 10n ** BigInt(places - digits);
  const whole = size / unit;
  const twice = (size % unit) * 2n;
  return twice > unit || (twice === unit && whole % 2n === 1n) ? whole + 1n : whole;
}

function grouped(digits) {
  return digits.replace(/\B(?=(\d{3})+$)/g, ",");
}

function placed(units, digits) {
  const all = units.toString().padStart(digits + 1, "0");
  return [all.slice(0, all.length - digits), all.slice(all.length - digits)];
}

// The rule of figures.dollars in Python: cents from 1 dollar up, more digits below.
function dollars(text) {
  const amount = decimalOf(text);
  if (amount === null) return "unknown";
  const size = amount.units < 0n ? -amount.units : amount.units;
  if (size === 0n) return "$0";
  const one = 10n ** BigInt(amount.places);
  const inCents = (size * 100n) % one === 0n;
  const digits = size >= one || inCents ? 2 : size * 100n >= one ? 4 : 6;
  const [whole, fraction] = placed(roundedTo(size, amount.places, digits), digits);
  return `${amount.units < 0n ? "-" : ""}$${grouped(whole)}.${fraction}`;
}

// All digits without an exponent, as figures.exact in Python writes them.
function exactDecimal(amount) {
  if (amount === null) return "";
  const size = amount.units < 0n ? -amount.units : amount.units;
  const [whole, fraction] = amount.places ? placed(size, amount.places) : [size.toString(), ""];
  const kept = fraction.replace(/0+$/, "");
  return (amount.units < 0n ? "-" : "") + whole + (kept ? `.${kept}` : "");
}

function exactUsd(text) {
  return exactDecimal(decimalOf(text));
}

// Adds amounts; counts those that are unknown instead of taking them for 0.
function addedUp(texts) {
  let units = 0n;
  let places = 0;
  let unknown = 0;
  for (const text of texts) {
    const amount = decimalOf(text);
    if (amount === null) {
      unknown += 1;
      continue;
    }
    if (amount.places > places) {
      units *= 10n ** BigInt(amount.places - places);
      places = amount.places;
    }
    units += amount.units * 10n ** BigInt(places - amount.places);
  }
  return {text: exactDecimal({units, places}), unknown};
}

function compared(left, right) {
  const [a, b] = [decimalOf(left), decimalOf(right)];
  if (a === null || b === null) return a === b ? 0 : a === null ? -1 : 1;
  const places = Math.max(a.places, b.places);
  const difference =
    a.units * 10n ** BigInt(places - a.places) - b.units * 10n ** BigInt(places - b.places);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

// For lengths in a picture alone; never shown.
function lengthOf(text) {
  const number = Number(text);
  return text !== null && Number.isFinite(number) ? number : 0;
}

function counted(number) {
  return typeof number === "number" && Number.isFinite(number) ? grouped(String(Math.round(number))) : "unknown";
}

function plural(number, noun) {
  return `${counted(number)} ${noun}${number === 1 ? "" : "s"}`;
}

// Python rounds a half to the even digit, toFixed rounds it up.
function fixedEven(number, digits) {
  const scaled = number * 10 ** digits;
  const floor = Math.floor(scaled);
  const tie = scaled - floor === 0.5 && scaled / 10 ** digits === number && (number * 4) % 1 === 0;
  return tie ? ((floor % 2 ? floor + 1 : floor) / 10 ** digits).toFixed(digits) : number.toFixed(digits);
}

// The rule of figures.seconds_text in Python.
function secondsText(seconds) {
  if (typeof seconds !== "number") return "unknown";
  if (seconds < 9.95) return `${fixedEven(seconds, 1)} s`;
  if (seconds < 59.5) return `${fixedEven(seconds, 0)} s`;
  const whole = Number(fixedEven(seconds, 0));
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}

function momentText(at) {
  const moment = new Date(typeof at === "number" ? at * 1000 : NaN);
  if (Number.isNaN(moment.getTime())) return "unknown";
  return moment.toISOString().replace("T", " ").replace(/(\.\d)\d*Z$/, "$1 UTC");
}

function shareText(share) {
  return typeof share === "number" && Number.isFinite(share) ? `${Math.round(share * 100)}%` : "unknown";
}
