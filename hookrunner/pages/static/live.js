// What a running script prints, as it is printed. Without this the page asks again by itself.
"use strict";

(() => {
  const place = document.querySelector("[data-live]");
  if (!place || !window.EventSource) return;

  const note = document.getElementById("live-note");
  const say = (words) => { if (note && note.textContent !== words) note.textContent = words; };
  let from = place.dataset.from;
  let retry = 1000;

  const append = (id, event) => {
    const output = document.getElementById(id);
    if (!output) { location.reload(); return; }
    const last = output.scrollHeight - output.scrollTop - output.clientHeight < 40;
    // Escaped by the server, which is the only one that knows how.
    output.insertAdjacentHTML("beforeend", JSON.parse(event.data).html);
    output.closest("[hidden]")?.removeAttribute("hidden");
    if (last) output.scrollTop = output.scrollHeight;
    if (event.lastEventId) from = event.lastEventId;
  };

  const listen = () => {
    const source = new EventSource(`${place.dataset.live}?from=${encodeURIComponent(from)}`);
    source.addEventListener("open", () => { retry = 1000; say("Live: output appears as it comes."); });
    source.addEventListener("out", (event) => append("live-out", event));
    source.addEventListener("err", (event) => append("live-err", event));
    source.addEventListener("end", () => { source.close(); location.reload(); });
    source.addEventListener("error", () => {
      if (source.readyState !== EventSource.CLOSED) { say("The connection is lost; trying again."); return; }
      // Refused: others may be listening, who are few at a time.
      say("Not live just now; trying again.");
      setTimeout(listen, retry);
      retry = Math.min(retry * 2, 15000);
    });
  };

  for (const id of ["live-out", "live-err"]) {
    const output = document.getElementById(id);
    if (output) output.scrollTop = output.scrollHeight;
  }
  listen();
})();
