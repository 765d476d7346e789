// Google's side of Apps Script, as far as a form's script meets it; the HTTP is real.
// Standard input: {script, call, properties, form, sheet, event}. Standard output: what happened.
import { execFileSync } from "node:child_process";
import { createHmac } from "node:crypto";
import vm from "node:vm";

const given = JSON.parse(await new Response(process.stdin).text());
const happened = { logs: [], warnings: [], sleeps: [], triggers: given.triggers || [], posts: [], error: null };

const kinds = ["TEXT", "PARAGRAPH_TEXT", "MULTIPLE_CHOICE", "LIST", "SCALE", "RATING", "CHECKBOX", "GRID",
  "CHECKBOX_GRID", "DATE", "DATETIME", "TIME", "DURATION", "FILE_UPLOAD", "IMAGE", "VIDEO", "PAGE_BREAK",
  "SECTION_HEADER"];
const ItemType = Object.fromEntries(kinds.map((kind) => [kind, { toString: () => kind, kind }]));

// The generic item has no isRequired, and there is no FileUploadItem: as the reference says.
const METHODS = {
  TEXT: "asTextItem", PARAGRAPH_TEXT: "asParagraphTextItem", MULTIPLE_CHOICE: "asMultipleChoiceItem",
  LIST: "asListItem", SCALE: "asScaleItem", RATING: "asRatingItem", CHECKBOX: "asCheckboxItem", GRID: "asGridItem",
  CHECKBOX_GRID: "asCheckboxGridItem", DATE: "asDateItem", DATETIME: "asDateTimeItem", TIME: "asTimeItem",
  DURATION: "asDurationItem", PAGE_BREAK: "asPageBreakItem", SECTION_HEADER: "asSectionHeaderItem",
  IMAGE: "asImageItem", VIDEO: "asVideoItem",
};

function makeItem(made) {
  const item = {
    getId: () => made.id,
    getTitle: () => made.title,
    getType: () => ItemType[made.type],
  };
  const method = METHODS[made.type];
  if (method) {
    item[method] = () => ({
      ...item,
      isRequired: () => Boolean(made.required),
      getChoices: () => (made.choices || []).map((value) => ({ getValue: () => value })),
      ...(["CHECKBOX", "MULTIPLE_CHOICE"].includes(made.type) ? { hasOtherOption: () => Boolean(made.other) } : {}),
      getLowerBound: () => made.low,
      getUpperBound: () => made.high,
      getRows: () => made.rows,
      getColumns: () => made.columns,
      includesYear: () => made.year !== false,
    });
  }
  return item;
}

const form = given.form && {
  getId: () => given.form.id,
  getTitle: () => given.form.title,
  getItems: () => given.form.items.map(makeItem),
  getResponse: (id) => answered(given.responses.find((made) => made.id === id)),
};

function fetch(url, options) {
  for (const name of Object.keys(options.headers)) {
    if (/^(host|content-length)$/i.test(name)) throw new Error("Attribute provided with invalid value: Header");
  }
  const headers = { ...options.headers, "Content-Type": options.contentType };
  happened.posts.push({ url, headers, body: options.payload });
  const words = ["-s", "-i", "-X", options.method.toUpperCase(), url, "--data-binary", "@-"];
  for (const [name, value] of Object.entries(headers)) words.push("-H", `${name}: ${value}`);
  let said;
  try {
    said = execFileSync("curl", words, { input: Buffer.from(options.payload, "utf8") }).toString("utf8");
  } catch (error) {
    throw new Error("Address unavailable: " + url);
  }
  const cut = said.indexOf("\r\n\r\n");
  const status = Number(said.split(" ")[1]);
  if (status >= 400 && !options.muteHttpExceptions) throw new Error("Request failed: " + status);
  const all = Object.fromEntries(said.slice(0, cut).split("\r\n").slice(1).map((line) => line.split(/: (.*)/s)));
  return { getResponseCode: () => status, getContentText: () => said.slice(cut + 4), getAllHeaders: () => all };
}

// Its rows, the titles first; `given.rows` is what getDisplayValues gives.
const sheet = {
  getName: () => "Answers", getSheetId: () => 0, getParent: () => ({ getId: () => "spreadsheet" }),
  getLastColumn: () => given.rows[0].length,
  getRange: (row) => ({ getDisplayValues: () => [given.rows[row - 1]] }),
};

const answered = (made) => {
  const items = Object.fromEntries(given.form.items.map((item) => [item.id, item]));
  return {
    getId: () => made.id,
    getTimestamp: () => new Date(made.timestamp),
    getRespondentEmail: () => made.email || "",
    getItemResponses: () => made.answers.map(([id, answer]) => ({ getItem: () => makeItem(items[id]), getResponse: () => answer })),
  };
};

const world = {
  FormApp: { getActiveForm: () => form || null, ItemType },
  SpreadsheetApp: { getActive: () => ({ getId: () => "sheet", getSheets: () => [sheet] }) },
  UrlFetchApp: { fetch },
  Utilities: {
    Charset: { UTF_8: "UTF-8", US_ASCII: "US-ASCII" },
    computeHmacSha256Signature(value, key, charset) {
      if (typeof value !== typeof key) throw new Error("The parameters don't match the method signature");
      // Without a charset every character that is not ASCII becomes a question mark.
      const bytes = (text) => charset === "UTF-8" ? Buffer.from(text, "utf8") : Buffer.from(text.replace(/[^\x00-\x7f]/g, "?"), "ascii");
      return [...createHmac("sha256", bytes(key)).update(bytes(value)).digest()].map((b) => (b > 127 ? b - 256 : b));
    },
    base64Encode(bytes) {
      if (!Array.isArray(bytes) || bytes.some((b) => b < -128 || b > 127)) throw new Error("bytes are signed");
      return Buffer.from(bytes.map((b) => b & 0xff)).toString("base64");
    },
    sleep: (ms) => { happened.sleeps.push(ms); },
  },
  PropertiesService: {
    getScriptProperties: () => ({
      getProperty: (name) => given.properties[name] ?? null,
      setProperty: (name, value) => { given.properties[name] = value; },
    }),
  },
  ScriptApp: {
    getProjectTriggers: () => happened.triggers.map((t) => ({ getHandlerFunction: () => t.handler, made: t })),
    deleteTrigger: (trigger) => { happened.triggers = happened.triggers.filter((t) => t !== trigger.made); },
    newTrigger: (handler) => {
      const on = (source) => ({ onFormSubmit: () => ({ create: () => happened.triggers.push({ handler, source }) }) });
      return { forForm: () => on("form"), forSpreadsheet: () => on("sheet") };
    },
  },
  LockService: { getScriptLock: () => ({ waitLock() {}, releaseLock() {} }) },
  console: { log: (text) => happened.logs.push(text), warn: (text) => happened.warnings.push(text) },
};

let event;
if (given.event && given.event.answers) {
  event = { source: form, response: answered(given.event) };
} else if (given.event) {
  event = { namedValues: given.event.namedValues, range: { getSheet: () => sheet, getRow: () => given.event.row } };
}

try {
  vm.createContext(world);
  vm.runInContext(given.script, world);
  world.event = event;
  vm.runInContext(`${given.call}(event)`, world);
} catch (error) {
  happened.error = String(error.message || error);
}
happened.properties = given.properties;
process.stdout.write(JSON.stringify(happened));
