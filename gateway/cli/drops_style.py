"""The style sheet of a drop report: dark and light by what the reader prefers, fit for a phone.

Owns the colours and the layout; names no host, no font that has to be loaded, no image. Text has a
contrast of at least 4.5 to 1 on its ground in both (WCAG 2.1, 1.4.3).
"""

STYLE = """
:root{color-scheme:light dark;--bg:#fff;--ink:#1b1f24;--soft:#57606a;--rule:#d0d7de;--card:#f6f8fa;
--line:#0550ae;--alarm:#b3261e;--shade:#b3261e2e;--quiet:#57606a;--bar:#0550ae}
@media (prefers-color-scheme:dark){:root{--bg:#0d1117;--ink:#e6edf3;--soft:#9aa4af;--rule:#30363d;
--card:#161b22;--line:#79b8ff;--alarm:#ff8a80;--shade:#ff8a8040;--quiet:#9aa4af;--bar:#79b8ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:64rem;margin:0 auto;padding:1rem}
h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0}
h2{font-size:1.2rem;margin:2rem 0 .5rem}
h3{font-size:1rem;margin:1.25rem 0 .25rem}
p,ul,ol{margin:.5rem 0}
a{color:var(--line)}
a:focus-visible,summary:focus-visible,.scroll:focus-visible{outline:2px solid var(--line);
outline-offset:2px}
.soft{color:var(--soft)}
.alarm{color:var(--alarm);font-weight:600}
article{border:1px solid var(--rule);border-radius:.5rem;padding:.5rem 1rem;margin:1rem 0;
background:var(--card)}
article.quiet{opacity:.85}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
caption{text-align:left;color:var(--soft)}
th,td{text-align:left;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--rule);
vertical-align:top;overflow-wrap:anywhere}
th{white-space:nowrap}
td.n,th.n{text-align:right;white-space:nowrap}
td.t{white-space:nowrap}
dl{display:grid;grid-template-columns:fit-content(16rem) 1fr;gap:.1rem .8rem;margin:.5rem 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
summary{cursor:pointer;padding:.3rem 0}
code{font-family:ui-monospace,monospace;font-size:.9em;overflow-wrap:anywhere}
svg{display:block;height:auto;max-width:100%}
svg.wide{width:100%;min-width:34rem}
svg.small{width:100%}
.traces{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:.5rem}
svg text{fill:var(--soft);font:11px system-ui,sans-serif}
svg text.name{fill:var(--ink)}
.line{fill:none;stroke:var(--line);stroke-width:1.5;stroke-linejoin:round}
.grid{stroke:var(--rule);stroke-width:1;fill:none}
.lost{stroke:var(--alarm);stroke-width:1.5;stroke-dasharray:4 2;fill:none}
.shade{fill:var(--shade)}
.shade.hidden{fill:none;stroke:var(--alarm);stroke-dasharray:3 3}
.flag path{fill:var(--alarm)}.flag.quiet path{fill:var(--quiet)}
.bar{fill:var(--bar)}
.bar.open{fill:none;stroke:var(--alarm);stroke-dasharray:4 2}
@media (max-width:30rem){main{padding:.6rem}article{padding:.4rem .6rem}
dl{grid-template-columns:1fr}
dd{margin-bottom:.3rem}}
@media (max-width:40rem){table.list thead{display:none}
table.list tr{display:block;border-bottom:1px solid var(--rule);padding:.4rem 0}
table.list td{display:block;text-align:left;border:0;padding:0}
table.list td::before{content:attr(data-name) " ";color:var(--soft)}
table.list td.t::before{content:""}}
@media print{article{break-inside:avoid}}
"""
