"""The style sheet of ``reports/evaluation.html``, light and dark."""

CSS = """
:root {
  --ink: #1c2430; --soft: #5b6675; --line: #e3e7ec; --paper: #ffffff; --panel: #f6f8fa;
  --accent: #0b6bcb; --bar: #c3ccd6; --warn: #8a5a00; --warn-paper: #fff7e6;
  --s1: #e07b39; --s2: #3f9c77; --s3: #9a6fb0; --s4: #8b95a1; --s5: #bfa02f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e6eaf0; --soft: #9aa5b4; --line: #2c3440; --paper: #12161c; --panel: #1a2029;
    --accent: #5aa9ff; --bar: #3d4856; --warn: #f0c36a; --warn-paper: #2a2313;
    --s1: #f0975b; --s2: #5fbf98; --s3: #bd92d2; --s4: #78828f; --s5: #d9bd55;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
main { max-width: 1060px; margin: 0 auto; padding: 32px 24px 80px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 44px 0 8px; padding-top: 14px; border-top: 1px solid var(--line); }
h3 { font-size: 15px; margin: 20px 0 6px; }
p { margin: 6px 0 12px; max-width: 78ch; }
.soft { color: var(--soft); }
.tiles { display: flex; flex-wrap: wrap; gap: 14px; margin: 22px 0; }
.tile { flex: 1 1 210px; background: var(--panel); border-radius: 8px; padding: 14px 16px; }
.tile b { display: block; font-size: 26px; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.warnings {
  background: var(--warn-paper); border-left: 3px solid var(--warn); border-radius: 4px;
  padding: 10px 16px 10px 34px; margin: 0;
}
.warnings li { margin: 4px 0; max-width: 90ch; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 5px 12px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td.text, th.text { text-align: left; white-space: normal; }
thead th { color: var(--soft); font-weight: 500; }
tr.ours td { font-weight: 600; }
tr.few td { color: var(--soft); }
td.best { color: var(--accent); }
.better { color: var(--s2); font-weight: 600; } .worse { color: var(--s1); font-weight: 600; }
.columns { display: flex; flex-wrap: wrap; gap: 28px; }
figure { margin: 8px 0 14px; } figcaption { color: var(--soft); font-size: 13px; margin-bottom: 6px; }
svg { max-width: 100%; height: auto; display: block; }
svg text { fill: var(--ink); font: 13px system-ui, sans-serif; }
svg .label { text-anchor: end; } svg .label.ours { font-weight: 600; }
svg .tick { text-anchor: middle; fill: var(--soft); font-size: 12px; }
svg .value { font-variant-numeric: tabular-nums; fill: var(--soft); }
svg .bar { fill: var(--bar); } svg .bar.ours { fill: var(--accent); }
svg .grid, svg .guide { stroke: var(--line); } svg .diagonal { stroke: var(--soft); stroke-dasharray: 4 4; }
svg .line { fill: none; stroke: var(--accent); stroke-width: 1.5; }
.series-0 { fill: var(--accent); }
.series-1 { fill: var(--s1); }
.series-2 { fill: var(--s2); }
.series-3 { fill: var(--s3); }
.series-4 { fill: var(--s4); }
.series-5 { fill: var(--s5); }
.legend { display: flex; flex-wrap: wrap; gap: 16px; margin: 8px 0; font-size: 13px; color: var(--soft); }
.legend svg { display: inline-block; vertical-align: -1px; }
.user {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(270px, 1fr)); gap: 8px 28px;
  background: var(--panel); border-radius: 8px; padding: 14px 18px; margin: 12px 0;
}
.user h3 { grid-column: 1 / -1; margin: 0; }
.user h4 { font-size: 13px; font-weight: 500; color: var(--soft); margin: 0 0 4px; }
.user ol { margin: 0; padding-left: 20px; font-size: 14px; } .user li { margin: 2px 0; }
.hit { color: var(--s2); font-weight: 600; }
.thought { display: grid; grid-template-columns: 1fr 44px; gap: 2px 8px; font-size: 13px; margin-bottom: 8px; }
.thought .p { text-align: right; color: var(--soft); font-variant-numeric: tabular-nums; }
code { white-space: nowrap; font: 13px ui-monospace, Menlo, Consolas, monospace; color: var(--soft); }
"""
