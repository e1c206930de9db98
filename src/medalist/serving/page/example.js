/** A note to try: invented, about nobody. */
export const EXAMPLE = `71 y/o F with RA on MTX, p/w SOB and CP x2 days.
PMH: HTN, T2DM, COPD, hx of MS.

VS: HR 104, BP 148/86, RR 22, SpO2 93% on RA.
CXR: RLL infiltrate, no PTX. CTPA: no PE.
Echo: left ventricular ejection fraction (LVEF) 40%, dilated RA.
LVEF was 55% two years ago.

A/P:
1. CAP: ceftriaxone 1.0 g IV qd, azithromycin. O2 to keep sats >94%.
2. CP: trop neg x2, ECG w/o ST changes. MS 4 mg IV given.
3. T2DM: insulin glargine 10U QHS. A1c 8.2.
4. Dispo: d/w ZPQ team. Moved from PA to MA last year.
`;
