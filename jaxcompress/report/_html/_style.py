"""The looks of the page: light, dark, narrow and on paper."""

STYLE = """
:root{--paper:#fff;--ink:#1c2024;--soft:#5a636e;--line:#d9dee4;--fill:#f4f6f8;--was:#8b96a5;
--now:#1760c4;--now-soft:#d5e4fa;--good:#166b36;--bad:#b3261e;--warn:#fdf1d3;--warn-ink:#5c4100;
--warn-line:#d9a520;color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{--paper:#14171a;--ink:#e6e9ec;--soft:#a2abb5;
--line:#343a41;--fill:#1d2125;--was:#77828f;--now:#79b0ff;--now-soft:#1d3657;--good:#6fd394;
--bad:#ff9d94;--warn:#3a2f10;--warn-ink:#fbe3a4;--warn-line:#a47c1b}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
header,main,footer{max-width:82rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:2rem}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .25rem;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:2.75rem 0 .5rem;padding-top:1rem;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:1.5rem 0 .25rem}
p{margin:.35rem 0 .75rem;max-width:48rem}
.soft,figcaption,caption{color:var(--soft)}
.soft{font-size:.9rem}
a{color:var(--now)}
nav ul{list-style:none;margin:1rem 0 0;padding:0;display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;
font-size:.9rem}
.skip{position:absolute;left:-999rem}
.skip:focus{left:1rem;top:1rem;background:var(--paper);padding:.5rem}
:focus-visible{outline:2px solid var(--now);outline-offset:2px}
.note{background:var(--warn);color:var(--warn-ink);border-left:.3rem solid var(--warn-line);
padding:.7rem 1rem;margin:1rem 0;max-width:none;font-weight:600;overflow-wrap:anywhere}
.cards{display:grid;gap:.8rem;margin:1.25rem 0;padding:0;list-style:none;
grid-template-columns:repeat(auto-fit,minmax(min(15.5rem,100%),1fr))}
.cards>li{background:var(--fill);border:1px solid var(--line);border-radius:.5rem;
padding:.85rem 1rem}
.cards h3{margin:0;font-size:.85rem;color:var(--soft);font-weight:600}
.cards .big{color:var(--ink);font-size:1.7rem;font-weight:650;line-height:1.25;margin:.1rem 0;
font-variant-numeric:tabular-nums}
.cards .big small{font-size:.95rem;font-weight:500}
.cards p{margin:0;font-size:.875rem;color:var(--soft)}
.good{color:var(--good);font-weight:600}.bad{color:var(--bad);font-weight:600}
.wide{overflow-x:auto;margin:.75rem 0 1rem;border:1px solid var(--line);border-radius:.4rem}
table{border-collapse:collapse;width:100%;font-size:.85rem;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:.5rem .7rem;font-size:.85rem}
th,td{padding:.32rem .6rem;text-align:right;border-top:1px solid var(--line);
white-space:nowrap;vertical-align:top}
thead th{vertical-align:bottom;white-space:normal;
color:var(--soft);font-weight:600;background:var(--fill)}
tbody th{font-weight:500}
th.text,td.text{text-align:left}
td.why,th.why{white-space:normal;min-width:10rem;max-width:14rem}
td.long{white-space:normal;min-width:13rem}
td.fit,th.fit{white-space:normal;overflow-wrap:anywhere;min-width:14rem}
tfoot th,tfoot td{font-weight:650;border-top:2px solid var(--line)}
.none{color:var(--soft)}
.bars{min-width:8rem}
.bar{display:block;height:.42rem;border-radius:.1rem;margin:.2rem 0;min-width:1px}
.was{background:var(--was)}.now{background:var(--now)}
.key{display:inline-block;width:.8rem;height:.8rem;border-radius:.15rem;margin:0 .3rem 0 .8rem;
vertical-align:-.08rem}
.key:first-child{margin-left:0}.item{display:inline-block;margin-right:.8rem}
figure{margin:1rem 0}.chart{max-width:48rem}
.pair{display:grid;gap:0 1.5rem;
grid-template-columns:repeat(auto-fit,minmax(min(26rem,100%),1fr))}
figcaption{font-size:.875rem;max-width:48rem}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{fill:var(--ink);font-size:12px}
svg .axis text,svg text.axis{fill:var(--soft)}
svg .grid{stroke:var(--line);stroke-width:1}
svg .path{fill:none;stroke:var(--now);stroke-width:1.5;opacity:.6}
.pair .chart text{font-size:14px}
svg .limit{stroke:var(--bad);stroke-width:1.5;stroke-dasharray:5 4}
svg .point{fill:var(--now);stroke:var(--paper)}
svg .other .point{fill:var(--was)}
svg .span,svg .tip{pointer-events:none}
svg .span{stroke:var(--now);stroke-width:1.5;opacity:.55}
svg .other .span{stroke:var(--was)}
svg .w0{color:var(--now)}svg .w1{color:#c2681a}svg .w2{color:#2a8a62}svg .w3{color:#8a55b8}
svg g[class^=w] .point{fill:currentColor}
svg polyline[class*=" w"],svg g[class^=w] .span{stroke:currentColor;opacity:.8}
svg .chosen .point{stroke:var(--ink);stroke-width:2.5}
svg .tip{visibility:hidden;font-weight:600}
svg g:hover>.tip,svg g:focus>.tip{visibility:visible}
svg g:focus{outline:none}
svg g:focus>.point{stroke:var(--ink);stroke-width:2.5}
svg .before{fill:none;stroke:var(--was);stroke-width:1.25}
svg .after{fill:var(--now)}
svg .value{stroke:var(--ink);stroke-width:1}
.many{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(min(15rem,100%),1fr))}
.many figure{margin:0;border:1px solid var(--line);border-radius:.4rem;padding:.6rem .7rem}
.mask{display:block;width:100%;height:4.5rem;margin:.3rem 0;image-rendering:pixelated;
border:1px solid var(--line)}
.many figcaption{font-size:.8rem;overflow-wrap:anywhere}
.many b{color:var(--ink);font-weight:600;overflow-wrap:anywhere}
.stack{display:flex;height:1.3rem;border-radius:.3rem;overflow:hidden;margin:.6rem 0 .3rem;gap:1px}
.stack span{min-width:2px}
.f0{background:var(--now)}.f1{background:#c2681a}.f2{background:#2a8a62}.f3{background:#8a55b8}
.f4{background:#a3495f}.f5{background:#6b7682}
.map rect{fill-opacity:.28;stroke:var(--paper);stroke-width:2}
.map .f0{fill:var(--now)}.map .f1{fill:#c2681a}.map .f2{fill:#2a8a62}.map .f3{fill:#8a55b8}
.map .f4{fill:#a3495f}.map .f5{fill:#6b7682}.map g:hover rect{fill-opacity:.5}
.pictures{display:grid;gap:.8rem;padding:0;list-style:none;
grid-template-columns:repeat(auto-fill,minmax(8.5rem,1fr))}
.pictures img{width:6rem;height:6rem;image-rendering:pixelated;object-fit:contain;
background:var(--fill);border:1px solid var(--line);border-radius:.3rem}
.pictures li{font-size:.8rem;overflow-wrap:anywhere}
.pictures p{margin:.2rem 0;color:var(--soft)}
td.up{background:var(--now-soft)}td.down{background:var(--fill);font-weight:600}
pre{background:var(--fill);border:1px solid var(--line);border-radius:.4rem;padding:.8rem 1rem;
font-size:.85rem;white-space:pre-wrap;overflow-wrap:anywhere;margin:.5rem 0 1rem}
code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.2rem;font-size:.9rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
details{margin:.5rem 0 1rem}summary{cursor:pointer;color:var(--now);font-size:.9rem}
footer{margin-top:3rem;padding-bottom:2.5rem;font-size:.85rem;color:var(--soft)}
@media (max-width:640px){.maps{display:none}h1{font-size:1.4rem}th.fit,td.fit{min-width:10rem}
th,td{padding:.32rem .5rem}.chart text{font-size:21px}
.chart .dense{display:none}dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}}
@media print{:root{--paper:#fff;--ink:#000;--soft:#444;--line:#bbb;--fill:#f6f6f6;--was:#888;
--now:#1760c4}body{font-size:10.5pt}nav,.skip{display:none}.wide{overflow:visible;border:0}
table{font-size:7.5pt}th,td{padding:.15rem .3rem;white-space:normal}
header,main,footer{max-width:none;padding:0}h2{break-after:avoid}
figure,tr,.cards>li,.pictures li{break-inside:avoid}
.bar,.stack span,.key,.note,td{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""
