/**
 * Sends every answer of this form to {{URL}}
 *
 * Made by `python runner.py form {{PATH}}`. In the form's script editor (⋮, Apps Script):
 *   1. Paste this in place of what is there, and save.
 *   2. Project Settings, Script Properties: {{SECRET}} = the value of that config var.
 *   3. Choose the function `install` above, Run, and allow what it asks for.
 *   4. Choose `test`, Run: a made-up answer is sent, and the execution log says how that went.
 * `schema` logs a JSON Schema of this form's answers, for schemas/.
 */
const URL = {{URL_JSON}};
const SECRET = {{SECRET_JSON}};
const PAUSES = [1, 4, 15];  // seconds between attempts

/** Called by Google for every answer, once `install` has run: of a form, or of its sheet. */
function onFormSubmit(e) {
  if (e && e.response) {
    send_(ofForm_(e.source || FormApp.getActiveForm(), e.response));
  } else if (e && e.namedValues) {
    send_(ofSheet_(e));
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
      payload: byTitle_(items),
    },
    items: items,
  });
}

/** Logs a JSON Schema that every answer of this form fits. */
function schema() {
  const form = FormApp.getActiveForm();
  const properties = {};
  const required = [];
  let skippable = false;
  form.getItems().forEach((item) => {
    // What comes after a new section may be skipped, though it is marked as required.
    skippable = skippable || item.getType() === FormApp.ItemType.PAGE_BREAK;
    if (!isQuestion_(item)) return;
    const title = unused_(properties, item.getTitle());
    properties[title] = describe_(item);
    if (!skippable && isRequired_(item)) required.push(title);
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
      payload: byTitle_(items),
    },
    items: items,
  };
}

/** A sheet knows no ids and no kinds; its row stands for the answer. */
function ofSheet_(e) {
  const payload = {};
  Object.keys(e.namedValues).forEach((title) => {
    const values = e.namedValues[title];
    payload[title] = values.length === 1 ? values[0] : values;
  });
  const sheet = e.range.getSheet();
  const row = e.range.getRow();
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
function byTitle_(items) {
  const payload = {};
  items.forEach((entry) => { payload[unused_(payload, entry.title)] = entry.answer; });
  return payload;
}

function unused_(taken, title) {
  let name = title;
  for (let n = 2; Object.prototype.hasOwnProperty.call(taken, name); n++) name = title + ' (' + n + ')';
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
        ' attempts: ' + told.said + ' Once the server is well again, send it by hand.');
    }
    console.warn('Attempt ' + (attempt + 1) + ': ' + told.said + ' Trying again in ' + PAUSES[attempt] + ' s.');
    Utilities.sleep(PAUSES[attempt] * 1000);
  }
}

function post_(id, body) {
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
  if (status >= 200 && status < 400) return { said: status + ' ' + text };
  if (status === 429 || status >= 500) return { again: true, said: 'The server answered ' + status + ' ' + text };
  return { error: explain_(status, text) };
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
