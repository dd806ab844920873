// What an opened row shows. Names and errors come from outside and are put in as text.

function bigPlot(title, drawn, say) {
  const figure = element("figure");
  const caption = element("figcaption");
  const said = element("span");
  caption.append(element("b", "", title), said);
  const around = element("div", "plot");
  const svg = plot("", 76, title);
  const limit = element("span", "limit-label");
  limit.hidden = true;
  around.append(svg, limit);
  const axis = element("div", "axis"), from = element("span");
  axis.append(from, element("span", "", "now"));
  figure.append(caption, around, axis);
  let values = [], pointed = null;
  const tell = () => {
    const wide = width(values);
    const at = pointed === null ? null : Math.min(wide - 1, Math.floor(pointed * wide)) - (wide - values.length);
    if (at === null || at < 0 || values.length <= at) {
      draw(svg, "cursor", "");
      write(said, say(values));
      return;
    }
    draw(svg, "cursor", `M${(pointed * SAMPLES).toFixed(1)} 0V76`);
    const back = (values.length - 1 - at) * state.step;
    write(said, `${values[at] === null ? "nothing" : drawn.word(values[at])}, ${back === 0 ? "now" : `${span(back)} ago`}`);
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    pointed = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    tell();
  });
  svg.addEventListener("pointerleave", () => { pointed = null; tell(); });
  return {
    figure,
    show(samples) {
      values = samples;
      drawn.draw(svg, samples, limit);
      write(from, `${span(width(samples) * state.step)} ago`);
      attribute(svg, "aria-label", `${title} in the last hour: ${say(samples)}`);
      tell();
    },
  };
}

const atMost = (word) => (values) => {
  const there = values.filter((value) => value !== null);
  return there.length === 0 ? "nothing in the last hour" : `at most ${word(Math.max(...there))}`;
};

const drawnLag = {
  word: span,
  draw(svg, values, label) {
    const high = (value) => heightOf(value, SCALES.lag);
    drawLine(svg, values, 76, high, state.fixed.late);
    label.hidden = false;
    write(label, `late: ${span(state.fixed.late)}`);
    label.style.top = `${75 - high(state.fixed.late) * 74}px`;
  },
};
const drawnFreshness = {
  word: span,
  draw: (svg, values) => drawStems(svg, values, 76, (value) => Math.max(0.03, heightOf(value, SCALES.freshness))),
};
const drawnRate = {
  word: (value) => `${number.format(value)} a minute`,
  draw: (svg, values) => drawLine(svg, values, 76, linear(values)),
};
const drawnWaiting = {
  word: (value) => many(value, "event", "events"),
  draw: (svg, values) => drawLine(svg, values, 76, linear(values)),
};

function troubleBox() {
  const box = element("div", "trouble wide");
  const what = element("p"), remedy = element("p", "muted");
  box.append(what, remedy);
  return {
    box,
    show(view) {
      box.hidden = !view.headline;
      const more = view.what ? `: ${view.what}` : "";
      const how = view.failures > 1 ? ` (${number.format(view.failures)} times in a row)` : "";
      write(what, `${view.headline}${how}${more}`);
      write(remedy, [since(view.since), view.remedy].filter(Boolean).join(". "));
      remedy.hidden = !remedy.textContent;
    },
  };
}

function facts() {
  const list = element("dl");
  const known = new Map();
  return {
    list,
    show(pairs) {
      for (const [term, value] of pairs) {
        if (!known.has(term)) {
          const pair = [element("dt", "", term), element("dd")];
          known.set(term, pair);
          list.append(...pair);
        }
        const [dt, dd] = known.get(term);
        dt.hidden = dd.hidden = value === null;
        if (value !== null) write(dd, value);
      }
    },
  };
}

const WINDOWS = [["list", "minute"], ["list", "hour"], ["get", "minute"], ["get", "hour"]];

function quotaBars() {
  const box = element("div", "quotas");
  const bars = WINDOWS.map(([endpoint, window]) => {
    const line = element("div", "quota");
    const label = `${endpoint}, ${window}`;
    const track = element("div", "track"), fill = element("i"), left = element("span", "left");
    track.append(fill);
    track.setAttribute("role", "meter");
    track.setAttribute("aria-label", `Calls left: ${label}`);
    track.setAttribute("aria-valuemin", 0);
    line.append(element("span", "", label), track, left);
    box.append(line);
    return { track, fill, left };
  });
  return {
    box,
    show(calls, limits) {
      bars.forEach(({ track, fill, left }, at) => {
        const limit = limits[at], rest = Math.max(0, limit - calls[at]);
        const share = limit === 0 ? 0 : rest / limit;
        fill.style.width = `${(share * 100).toFixed(1)}%`;
        attribute(track, "aria-valuemax", limit);
        attribute(track, "aria-valuenow", rest);
        attribute(track, "data-low", share < 0.1);
        write(left, `${number.format(rest)} of ${number.format(limit)}`);
      });
    },
  };
}

function tenantDetail(row) {
  const detail = element("div", "detail");
  const trouble = troubleBox();
  const lag = bigPlot("Lag: age of the last complete sweep", drawnLag, atMost(span));
  const freshness = bigPlot("Freshness: from changed to taken in", drawnFreshness, atMost(span));
  const quota = element("figure"), bars = quotaBars(), own = facts();
  const caption = element("figcaption");
  const ready = element("span");
  caption.append(element("b", "", "Calls left"), ready);
  quota.append(caption, bars.box);
  detail.append(trouble.box, lag.figure, freshness.figure, quota, own.list);
  row.node.append(detail);
  return (view, history) => {
    trouble.show(view);
    lag.show(history.lag);
    freshness.show(history.freshness);
    bars.show(view.calls, view.limits);
    write(ready, `${number.format(view.ready)} may go at once`);
    const kinds = Object.entries(view.events).map(([kind, count]) => `${number.format(count)} ${kind}`);
    own.show([
      ["Read up to", instant(view.cursor)],
      ["Last complete sweep", view.swept === null ? "not yet" : `${span(ageOf(view.swept))} ago`],
      ["Catching up", view.catching_up === null ? null : `${instant(view.catching_up[0])} of ${instant(view.catching_up[1])}`],
      ["Events since the start", kinds.length === 0 ? "none" : kinds.join(", ")],
      ["In quarantine", view.quarantined === 0 ? "nothing" : many(view.quarantined, "window of time", "windows of time")],
      ["Found by audits only", view.missed === 0 ? null : many(view.missed, "event", "events")],
      ["Readings without proof", view.broken === 0 ? null : `${view.broken} in a row`],
      ["Our clock", view.skew === null || Math.abs(view.skew) < 2 ? null
        : `${span(Math.abs(view.skew))} ${view.skew < 0 ? "behind" : "ahead of"} the source's`],
      ["Certificate", view.certificate_days === null ? null : view.certificate_days < 0 ? "has ended" : `ends in ${many(view.certificate_days, "day", "days")}`],
    ]);
  };
}

function sinkDetail(row) {
  const detail = element("div", "detail");
  const trouble = troubleBox();
  const rate = bigPlot("Delivered", drawnRate, atMost(drawnRate.word));
  const waiting = bigPlot("Waiting in the outbox", drawnWaiting, atMost(drawnWaiting.word));
  const own = facts();
  own.list.classList.add("wide");
  detail.append(trouble.box, rate.figure, waiting.figure, own.list);
  row.node.append(detail);
  return (view, history) => {
    trouble.show(view);
    rate.show(history.rate);
    waiting.show(history.waiting);
    own.show([
      ["Waiting", many(view.waiting, "event", "events")],
      ["The oldest of them", view.waiting === 0 || view.oldest === null ? null : `${span(ageOf(view.oldest))} old`],
      ["Delivered since the start", many(view.delivered, "event", "events")],
      ["Refused for good, kept", view.refused === 0 ? "none" : many(view.refused, "event", "events")],
      ["Guarantee", view.guarantee],
    ]);
  };
}
