/**
 * Sends every answer of this form to {{URL}}
 *
 * Made by `python runner.py form {{PATH}}`. In the form's script editor (⋮, Apps Script):
 *   1. Paste this in place of what is there, and save.
 *   2. Project Settings, Script Properties: {{SECRET}} = the value of that config var.
 *   3. Choose the function `install` above, Run, and allow what it asks for.
 *   4. Choose `test`, Run: a made-up answer is sent, and the execution log says how that went.
 * `resend` sends again what could not be delivered; it is kept until then.
 * `schema` logs a JSON Schema of this form's answers, for schemas/.
 */
const URL = {{URL_JSON}};
const SECRET = {{SECRET_JSON}};
const PAUSES = [1, 4, 15];  // seconds between attempts
const UNSENT = 'UNSENT';  // the script property that names the answers still to be sent
const MOST_UNSENT = 100;

/** Called by Google for every answer, once `install` has run: of a form, or of its sheet. */
function onFormSubmit(e) {
  if (e && e.response) {
    deliver_(e.response.getId(), ofForm_(e.source || FormApp.getActiveForm(), e.response));
  } else if (e && e.namedValues) {
    deliver_([e.range.getSheet().getSheetId(), e.range.getRow()], ofSheet_(e.range.getSheet(), e.range.getRow(), e.namedValues));
  } else {
    throw new Error('Google calls this function when an answer comes; to try it, run `test`.');
  }
}

/** Has Google call onFormSubmit for every answer from now on. */
function install() {
  const lock = LockService.getScriptLock();
  lock.waitLock(10000);
  try {
    ScriptApp.getProjectTriggers()
      .filter((trigger) => trigger.getHandlerFunction() === 'onFormSubmit')
      .forEach((trigger) => ScriptApp.deleteTrigger(trigger));
    const form = FormApp.getActiveForm();
    const builder = ScriptApp.newTrigger('onFormSubmit');
    if (form) {
      builder.forForm(form).onFormSubmit().create();
    } else {
      builder.forSpreadsheet(SpreadsheetApp.getActive()).onFormSubmit().create();
    }
  } finally {
    lock.releaseLock();
  }
  secret_();
  console.log('Every answer will be sent to ' + URL);
}

/** Sends again what could not be delivered: the server knows what it has had. */
function resend() {
  const left = unsent_();
  left.forEach((which) => {
    send_(again_(which));
    remember_(which, false);
  });
  console.log(left.length ? 'All is delivered.' : 'There is nothing that was not delivered.');
}

/** Sends an answer that nobody has given. */
function test() {
  const form = FormApp.getActiveForm();
  const now = new Date();
  const items = form ? form.getItems().filter(isQuestion_).map((item) => entry_(item, madeUp_(item))) : [];
  send_({
    form: form ? { id: form.getId(), title: form.getTitle() } : { id: 'test', title: 'test' },
    response: {
      id: 'test-' + now.getTime(),
      timestamp: now.toISOString(),
      email: '',
      payload: byTitle_(form, items),
    },
    items: items,
  });
}

/** Logs a JSON Schema that every answer of this form fits. */
function schema() {
  const form = FormApp.getActiveForm();
  if (!form) {
    throw new Error('A sheet does not know the questions of its form: open the form itself, ⋮, Apps Script, ' +
      'paste this script there, too, and run `schema` there (without `install`, or every answer comes twice).');
  }
  const keys = keys_(form);
  const properties = Object.create(null);
  const required = [];
  let skippable = false;
  form.getItems().forEach((item) => {
    // What comes after a new section may be skipped, though it is marked as required.
    skippable = skippable || item.getType() === FormApp.ItemType.PAGE_BREAK;
    if (!isQuestion_(item)) return;
    const key = keys[item.getId()];
    properties[key] = describe_(item);
    if (!skippable && isRequired_(item)) required.push(key);
  });
  const answers = { type: 'object', required: required, properties: properties };
  const response = {
    type: 'object',
    required: ['id', 'timestamp', 'payload'],
    properties: { id: { type: 'string' }, timestamp: { type: 'string', format: 'date-time' }, payload: answers },
  };
  const whole = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: form.getTitle(),
    type: 'object',
    required: ['form', 'response'],
    properties: { response: response },
  };
  console.log(JSON.stringify(whole, null, 2));
}

function ofForm_(form, response) {
  const items = response.getItemResponses().map((each) => entry_(each.getItem(), each.getResponse()));
  return {
    form: { id: form.getId(), title: form.getTitle() },
    response: {
      id: response.getId(),
      timestamp: response.getTimestamp().toISOString(),
      email: response.getRespondentEmail() || '',
      payload: byTitle_(form, items),
    },
    items: items,
  };
}

/** A sheet knows no ids and no kinds; its row stands for the answer. */
function ofSheet_(sheet, row, namedValues) {
  const payload = Object.create(null);
  Object.keys(namedValues).forEach((title) => {
    const values = namedValues[title];
    payload[title] = values.length === 1 ? values[0] : values;
  });
  return {
    form: { id: sheet.getParent().getId(), title: sheet.getName() },
    response: {
      id: sheet.getParent().getId() + '-' + sheet.getSheetId() + '-' + row,
      timestamp: new Date().toISOString(),
      email: '',
      payload: payload,
    },
    items: [],
  };
}

function entry_(item, answer) {
  const entry = { id: item.getId(), title: item.getTitle(), type: String(item.getType()), answer: answer };
  if (item.getType() === FormApp.ItemType.FILE_UPLOAD && answer) {
    entry.files = answer.map((id) => ({ id: id, url: 'https://drive.google.com/open?id=' + id }));
  }
  return entry;
}

/** Two questions may have one title: the second is `Title (2)`; `items` has the ids. */
function byTitle_(form, items) {
  const keys = form ? keys_(form) : {};
  const payload = Object.create(null);
  // A question that was taken out of the form meanwhile is not among its keys.
  items.forEach((entry) => { payload[keys[entry.id] || unused_(payload, entry.title)] = entry.answer; });
  return payload;
}

/** Each question's name in a payload, by its id: counted over the form, not over what was answered. */
function keys_(form) {
  const keys = {};
  const taken = Object.create(null);
  form.getItems().filter(isQuestion_).forEach((item) => {
    const key = unused_(taken, item.getTitle());
    taken[key] = true;
    keys[item.getId()] = key;
  });
  return keys;
}

function unused_(taken, title) {
  let name = title;
  for (let n = 2; name in taken; n++) name = title + ' (' + n + ')';
  return name;
}

function isQuestion_(item) {
  const kinds = FormApp.ItemType;
  return [kinds.PAGE_BREAK, kinds.SECTION_HEADER, kinds.IMAGE, kinds.VIDEO].indexOf(item.getType()) < 0;
}

/** The item as what it is: only that knows whether it is required. */
function as_(item) {
  const name = String(item.getType()).toLowerCase().replace(/(^|_)([a-z])/g, (all, bar, letter) => letter.toUpperCase());
  const method = 'as' + (name === 'Datetime' ? 'DateTime' : name) + 'Item';
  return typeof item[method] === 'function' ? item[method]() : null;
}

function isRequired_(item) {
  const known = as_(item);
  return Boolean(known && typeof known.isRequired === 'function' && known.isRequired());
}

function choices_(known) {
  return known.getChoices().map((choice) => choice.getValue());
}

function describe_(item) {
  const kinds = FormApp.ItemType;
  const known = as_(item);
  const open = known && typeof known.hasOtherOption === 'function' && known.hasOtherOption();
  switch (item.getType()) {
    case kinds.MULTIPLE_CHOICE:
    case kinds.LIST:
      return open ? { type: 'string' } : { enum: choices_(known) };
    case kinds.CHECKBOX:
      return { type: 'array', items: open ? { type: 'string' } : { enum: choices_(known) } };
    case kinds.SCALE: {
      const values = [];
      for (let n = known.getLowerBound(); n <= known.getUpperBound(); n++) values.push(String(n));
      return { enum: values };
    }
    case kinds.GRID:
      return { type: 'array', items: { enum: known.getColumns().concat(['', null]) } };
    case kinds.CHECKBOX_GRID:
      return { type: 'array', items: { type: ['array', 'string', 'null'], items: { enum: known.getColumns() } } };
    case kinds.DATE:
      return { type: 'string', pattern: known.includesYear() ? '^\\d{4}-\\d{2}-\\d{2}$' : '^\\d{2}-\\d{2}$' };
    case kinds.DATETIME:
      return { type: 'string', pattern: '\\d{2}-\\d{2} \\d{1,2}:\\d{2}$' };
    case kinds.TIME:
      return { type: 'string', pattern: '^\\d{1,2}:\\d{2}$' };
    case kinds.DURATION:
      return { type: 'string', pattern: '^\\d+:\\d{2}:\\d{2}$' };
    case kinds.FILE_UPLOAD:
      return { type: 'array', items: { type: 'string' } };
    default:
      return { type: 'string' };
  }
}

function madeUp_(item) {
  const kinds = FormApp.ItemType;
  const known = as_(item);
  switch (item.getType()) {
    case kinds.MULTIPLE_CHOICE:
    case kinds.LIST:
      return choices_(known)[0] || 'text';
    case kinds.CHECKBOX:
      return choices_(known).slice(0, 1);
    case kinds.SCALE:
      return String(known.getLowerBound());
    case kinds.RATING:
      return '1';
    case kinds.GRID:
      return known.getRows().map(() => known.getColumns()[0]);
    case kinds.CHECKBOX_GRID:
      return known.getRows().map(() => known.getColumns().slice(0, 1));
    case kinds.DATE:
      return known.includesYear() ? '2026-01-31' : '01-31';
    case kinds.DATETIME:
      return '2026-01-31 9:05';
    case kinds.TIME:
      return '9:05';
    case kinds.DURATION:
      return '1:05:00';
    case kinds.FILE_UPLOAD:
      return [];
    default:
      return 'A made-up answer, é and 日本';
  }
}

function secret_() {
  const secret = PropertiesService.getScriptProperties().getProperty(SECRET);
  if (!secret) {
    throw new Error('The script property ' + SECRET + ' is not set. Open Project Settings, Script Properties, ' +
      'and give it the value of the config var ' + SECRET + ' (heroku config:get ' + SECRET + ').');
  }
  return secret;
}

/** Sends an answer; one that cannot be delivered is remembered for `resend`. */
function deliver_(which, answer) {
  try {
    send_(answer);
  } catch (error) {
    remember_(which, true);
    throw new Error(error.message + ' The answer is kept: once all is well, run `resend`.');
  }
}

function unsent_() {
  return JSON.parse(PropertiesService.getScriptProperties().getProperty(UNSENT) || '[]');
}

/** Answers come side by side, and all of them write one property. */
function remember_(which, unsent) {
  const lock = LockService.getScriptLock();
  lock.waitLock(10000);
  try {
    const others = unsent_().filter((each) => String(each) !== String(which));
    const left = (unsent ? others.concat([which]) : others).slice(-MOST_UNSENT);
    PropertiesService.getScriptProperties().setProperty(UNSENT, JSON.stringify(left));
  } finally {
    lock.releaseLock();
  }
}

/** The answer as form or sheet have it now: of a form by its id, of a sheet by its row. */
function again_(which) {
  if (typeof which === 'string') {
    const form = FormApp.getActiveForm();
    return ofForm_(form, form.getResponse(which));
  }
  const sheet = SpreadsheetApp.getActive().getSheets().filter((each) => each.getSheetId() === which[0])[0];
  const width = sheet.getLastColumn();
  const titles = sheet.getRange(1, 1, 1, width).getDisplayValues()[0];
  const cells = sheet.getRange(which[1], 1, 1, width).getDisplayValues()[0];
  const named = Object.create(null);
  titles.forEach((title, place) => { named[title] = (named[title] || []).concat([cells[place]]); });
  return ofSheet_(sheet, which[1], named);
}

/** Sends an answer, more than once if need be: the server knows a repeat by its id. */
function send_(answer) {
  const body = JSON.stringify(answer);
  // An edited answer has the id of the first, and another time.
  const id = answer.response.id + '.' + new Date(answer.response.timestamp).getTime();
  for (let attempt = 0; ; attempt++) {
    const told = post_(id, body);
    if (!told.again) {
      if (told.error) throw new Error(told.error);
      console.log('Sent answer ' + answer.response.id + ': ' + told.said);
      return;
    }
    if (attempt >= PAUSES.length) {
      throw new Error('Answer ' + answer.response.id + ' was NOT delivered after ' + (attempt + 1) +
        ' attempts: ' + told.said);
    }
    console.warn('Attempt ' + (attempt + 1) + ': ' + told.said + ' Trying again in ' + PAUSES[attempt] + ' s.');
    Utilities.sleep(PAUSES[attempt] * 1000);
  }
}

function post_(id, body) {
  if (URL.indexOf('//YOUR-APP.') >= 0) {
    return { error: 'Put the address of your app in place of YOUR-APP, in the line `const URL` of this script.' };
  }
  const stamp = String(Math.floor(Date.now() / 1000));
  // Without the charset every letter that is not ASCII would be signed as a question mark.
  const signature = Utilities.computeHmacSha256Signature(
    id + '.' + stamp + '.' + body, secret_(), Utilities.Charset.UTF_8);
  let answer;
  try {
    answer = UrlFetchApp.fetch(URL, {
      method: 'post',
      contentType: 'application/json',
      payload: body,
      headers: {
        'webhook-id': id,
        'webhook-timestamp': stamp,
        'webhook-signature': 'v1,' + Utilities.base64Encode(signature),
      },
      muteHttpExceptions: true,
      followRedirects: false,
    });
  } catch (error) {
    return { again: true, said: 'The server cannot be reached (' + error + ').' };
  }
  const status = answer.getResponseCode();
  const text = answer.getContentText();
  const headers = {};
  const given = answer.getAllHeaders();
  Object.keys(given).forEach((name) => { headers[name.toLowerCase()] = String(given[name]); });
  // A hook may answer with a page to go to; any other 3xx has not had the answer.
  if ((status >= 200 && status < 300) || (status === 303 && headers['hook-run'])) return { said: status + ' ' + text };
  if (status >= 300 && status < 400) return { error: redirected_(status, headers.location) };
  if (status === 429 || status >= 500) return { again: true, said: 'The server answered ' + status + ' ' + text };
  return { error: explain_(status, text) };
}

function redirected_(status, location) {
  if (!location) return 'The server at ' + URL + ' did not take the answer: ' + status + '.';
  const site = location.match(/^(https?:\/\/[^\/?#]+)/);
  return 'The answer was redirected to ' + location + ' (' + status + '), and not taken; run `python runner.py form` again' +
    (site ? ' with that --url: ' + site[1] : ' with the --url that it ends at') + '.';
}

function explain_(status, text) {
  if (status === 401) {
    return 'The server does not believe that this form sent the answer (401). The script property ' + SECRET +
      ' must have the very value that the server has: heroku config:get ' + SECRET +
      '. If it has, see `heroku logs` for the reason.';
  }
  if (status === 404) return 'There is no hook at ' + URL + ' (404). Is its path in hooks.yaml, and deployed?';
  if (status === 422) return 'The answer does not fit the hook\'s schema (422): ' + text + ' Run `schema` for one that fits this form.';
  return 'The server refused the answer: ' + status + ' ' + text;
}
