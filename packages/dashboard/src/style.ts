/** The look of the Control Room: system fonts, light and dark, one column on phones. */

export const STYLE = `
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; --line: light-dark(#d5d8de, #3a3f4a); --soft: light-dark(#f5f6f8, #1c1f26); }
body { margin: 0; background: light-dark(#fff, #14161b); color: light-dark(#1b1f27, #e6e8ec); }
.page, .waiting { max-width: 80rem; margin: 0 auto; padding: 1rem; }
.stale main { opacity: 0.5; }
h1 { font-size: 1.3rem; margin: 0; } h2 { font-size: 1.05rem; margin: 0 0 0.5rem; } h3 { font-size: 0.95rem; margin: 0.5rem 0 0; overflow-wrap: anywhere; }
header p { margin: 0.2rem 0; }
.badge { display: inline-block; padding: 0.1rem 0.6rem; border-radius: 1rem; background: light-dark(#fff3d6, #4a3a10); border: 1px solid light-dark(#d9a514, #a67f12); }
main { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; margin-top: 1rem; }
section { border: 1px solid var(--line); border-radius: 0.6rem; padding: 0.8rem; min-width: 0; }
.nodes { list-style: none; margin: 0; padding: 0; display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: 0.5rem; }
.nodes li { display: grid; padding: 0.5rem; border-radius: 0.4rem; background: var(--soft); border-left: 0.3rem solid; }
.nodes .anchor { border-left-color: light-dark(#6d4aff, #a08bff); } .nodes .service { border-left-color: light-dark(#1a6ed8, #6aa9ff); }
.nodes .down { border-left-color: light-dark(#c5221f, #ff7b72); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: 0.25rem 0.5rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
.disputed { color: light-dark(#b3261e, #ff8a80); }
.wide { grid-column: 1 / -1; }
.streams { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr)); gap: 0.7rem; align-items: start; }
.stream { padding: 0.6rem 0.8rem; border-radius: 0.4rem; background: var(--soft); border-left: 0.3rem solid var(--state); min-width: 0; --state: light-dark(#1a7f4b, #5fd39a); }
.stream h3 { display: flex; justify-content: space-between; gap: 0.5rem; margin: 0; } .stream .state { color: var(--state); }
.stream p { margin: 0.1rem 0; font-size: 0.9rem; overflow-wrap: anywhere; } .stream:has(details[open]) { grid-column: 1 / -1; }
.stream.certifying { --state: light-dark(#1a5fb4, #6aa9ff); } .stream.behind, .stream.unknown { --state: light-dark(#8a5a00, #ffcf66); }
.stream.frozen, .stream.differs { --state: light-dark(#b3261e, #ff8a80); }
.stream dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: 0 1.2rem; margin: 0.3rem 0; } .stream dl div { display: flex; justify-content: space-between; align-items: baseline; gap: 0.5rem; }
.stream dt { font-size: 0.8rem; color: light-dark(#4a5160, #aab1be); } .stream dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.stream summary { cursor: pointer; padding: 0.15rem 0; } .places { list-style: none; margin: 0.2rem 0 0.4rem; padding: 0; display: grid; grid-template-columns: repeat(auto-fill, minmax(min(16rem, 100%), 1fr)); gap: 0 1.2rem; }
.places li { border-top: 1px solid var(--line); padding: 0.25rem 0; overflow-wrap: anywhere; } .places small { display: block; }
.places .behind, .places .unknown, .places .waiting { color: light-dark(#7a4f00, #ffcf66); } .places .frozen { color: light-dark(#b3261e, #ff8a80); }
.levels { list-style: none; margin: 0.5rem 0 0; padding: 0; display: grid; grid-template-columns: repeat(auto-fill, minmax(min(15rem, 100%), 1fr)); gap: 0.7rem; }
.levels li { padding: 0.6rem 0.8rem; border-radius: 0.4rem; background: var(--soft); border-left: 0.3rem solid var(--state); min-width: 0; --state: light-dark(#1a7f4b, #5fd39a); }
.levels .uneasy { --state: light-dark(#8a5a00, #ffcf66); } .levels .bad { --state: light-dark(#b3261e, #ff8a80); } .levels .planned { --state: light-dark(#1a5fb4, #6aa9ff); }
.levels h3 { display: flex; justify-content: space-between; gap: 0.5rem; margin: 0; } .levels .name { white-space: nowrap; } .levels .state { color: var(--state); text-align: right; } .levels meter { width: 100%; }
.levels p { margin: 0.1rem 0; font-size: 0.9rem; overflow-wrap: anywhere; } .levels dl { margin: 0.2rem 0; } .levels dl div { display: flex; justify-content: space-between; gap: 0.5rem; }
.levels dt { font-size: 0.8rem; color: light-dark(#4a5160, #aab1be); } .levels dd { margin: 0; font-variant-numeric: tabular-nums; }
.events { list-style: none; margin: 0; padding: 0; max-height: 30rem; overflow-y: auto; } .events li { border-bottom: 1px solid var(--line); padding: 0.15rem 0; overflow-wrap: anywhere; }
.events .warn { color: light-dark(#8a5a00, #ffcf66); } .events .error { color: light-dark(#b3261e, #ff8a80); }
@media (max-width: 60rem) { main { grid-template-columns: 1fr; } }
`
