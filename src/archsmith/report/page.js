(function () {
  "use strict";
  var plots = Array.prototype.slice.call(document.querySelectorAll(".plot"));
  if (!window.Plotly || !plots.length) { return; }

  // Colors are tokens ("$chosen") until they are drawn, so that the figures follow the theme and the printer.
  function painted(value, key) {
    if (typeof value === "string") {
      var token = /color$/.test(key || "") && value[0] === "$";
      return token ? getComputedStyle(document.documentElement).getPropertyValue("--" + value.slice(1)).trim() : value;
    }
    if (Array.isArray(value)) { return value.map(function (v) { return painted(v, key); }); }
    if (value && typeof value === "object") {
      var copy = {};
      Object.keys(value).forEach(function (k) { copy[k] = painted(value[k], k); });
      return copy;
    }
    return value;
  }

  function limitLine(spec, axis) {
    var limit = spec.limits[axis];
    if (!limit) { return {}; }
    return {
      shapes: [{ type: "line", xref: "x", yref: "paper", x0: limit, x1: limit, y0: 0, y1: 1, layer: "below",
                 line: { color: "$soft", width: 1.2, dash: "dash" } }],
      annotations: [{ x: spec.layout.xaxis.type === "log" ? Math.log10(limit) : limit, y: 0, xref: "x", yref: "paper", text: "limit",
                      showarrow: false, xanchor: "right", yanchor: "bottom", xshift: -4, font: { size: 12, color: "$soft" } }]
    };
  }

  function draw(plot) {
    var spec = JSON.parse(document.getElementById(plot.dataset.spec).textContent);
    var axis = plot.dataset.axis && spec.axes[plot.dataset.axis] ? plot.dataset.axis : spec.axis;
    var layout = Object.assign({}, spec.layout, axis ? limitLine(spec, axis) : {});
    if (axis) {
      layout.xaxis = Object.assign({}, layout.xaxis, { title: Object.assign({}, layout.xaxis.title, { text: spec.axes[axis] }) });
      Object.keys(spec.xs).forEach(function (i) {
        spec.data[i].x = spec.xs[i][axis] || [];
        if (spec.ys && spec.ys[i]) { spec.data[i].y = spec.ys[i][axis]; }
      });
    }
    var mouse = matchMedia("(hover: hover) and (pointer: fine)").matches;
    layout.dragmode = mouse ? "zoom" : false;
    layout.font = { family: getComputedStyle(document.documentElement).getPropertyValue("--sans") };
    layout.uirevision = axis;
    Plotly.react(plot, painted(spec.data), painted(layout), { displayModeBar: false, responsive: true });
  }

  function drawAll() { plots.forEach(draw); }

  document.querySelectorAll(".axes button").forEach(function (button) {
    button.addEventListener("click", function () {
      button.parentNode.querySelectorAll("button").forEach(function (other) {
        other.setAttribute("aria-pressed", String(other === button));
      });
      plots.forEach(function (plot) { if (plot.dataset.axis !== undefined) { plot.dataset.axis = button.dataset.axis; draw(plot); } });
    });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  window.addEventListener("beforeprint", function () { document.documentElement.classList.add("printing"); drawAll(); });
  window.addEventListener("afterprint", function () { document.documentElement.classList.remove("printing"); drawAll(); });
  drawAll();
})();
