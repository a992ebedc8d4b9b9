// A clip that plays with boxes over it, and on which boxes are drawn: by dragging, or by tapping two corners.
const SVG = 'http://www.w3.org/2000/svg';
const find = (selector) => element.querySelector(selector);
const root = find('.stage'), video = find('video'), svg = find('svg'), range = find('input'), output = find('output');
const note = find('.stage-note'), play = find('.stage-play');
let clip = null, color = null, corner = null, end = null;

const frame = () => Math.max(0, Math.min(clip.count - 1, Math.floor(video.currentTime / clip.step + 1e-3)));

function outline(box, name, drawn) {
  const rect = document.createElementNS(SVG, 'rect');
  const [x0, y0, x1, y1] = [Math.min(box[0], box[2]), Math.min(box[1], box[3]), Math.max(box[0], box[2]), Math.max(box[1], box[3])];
  for (const [key, value] of Object.entries({ x: x0, y: y0, width: Math.max(x1 - x0, 1), height: Math.max(y1 - y0, 1) }))
    rect.setAttribute(key, value);
  rect.setAttribute('class', 'box-' + name + (drawn ? ' drawn' : ''));
  svg.appendChild(rect);
}

function paint() {
  svg.replaceChildren();
  if (!clip) return;
  const k = frame();
  range.value = k;
  output.textContent = (k * clip.step).toFixed(1) + ' s';
  for (const [name, boxes] of Object.entries(clip.boxes)) if (boxes[k] && !(corner && name === color)) outline(boxes[k], name, false);
  if (corner) outline([...corner, ...(end || corner)], color, true);
}

function choose(name) {
  color = name;
  corner = end = null;
  root.toggleAttribute('data-drawing', !!name);
  for (const button of element.querySelectorAll('[data-color]')) button.setAttribute('aria-pressed', button.dataset.color === name);
  const drag = name ? 'Drag a box around the ' + (name === 'red' ? '' : 'other ') + 'object, or tap two of its corners.' : '';
  note.textContent = [(clip && clip.note) || '', drag].filter(Boolean).join(' ');
  if (name) video.pause();
  paint();
}

function load() {
  const given = props.value;
  const fresh = !clip || !given || clip.src !== given.src;
  clip = given && given.src ? given : null;
  find('.stage-hint').textContent = (clip && clip.hint) || '';
  root.dataset.empty = !clip;
  root.toggleAttribute('data-fixed', !!clip && !clip.draw);
  if (clip && fresh) {
    find('.stage-view').style.aspectRatio = clip.width + ' / ' + clip.height;
    svg.setAttribute('viewBox', '0 0 ' + clip.width + ' ' + clip.height);
    range.max = clip.count - 1;
    video.src = clip.src + '#t=0.001';
  }
  if (!clip) video.removeAttribute('src');
  choose(clip && clip.draw && !Object.keys(clip.boxes).length ? 'red' : null);
}

function place(event) {
  const view = svg.getBoundingClientRect();
  return [(event.clientX - view.left) / view.width * clip.width, (event.clientY - view.top) / view.height * clip.height];
}

const far = (a, b) => Math.abs(a[0] - b[0]) > 6 && Math.abs(a[1] - b[1]) > 6;
let down = null;
svg.addEventListener('pointerdown', (event) => {
  if (!color) return;
  event.preventDefault();
  svg.setPointerCapture(event.pointerId);
  down = place(event);
  if (!corner) corner = down;
  end = down;
  paint();
});
svg.addEventListener('pointermove', (event) => {
  if (!down) return;
  end = place(event);
  paint();
});
svg.addEventListener('pointerup', (event) => {
  if (!down) return;
  down = null;
  end = place(event);
  if (!far(corner, end)) return paint();  // the first of two corners
  note.textContent = 'Following it through the clip …';
  trigger('mark', { color: color, time_s: frame() * clip.step, box: [...corner, ...end] });
  root.removeAttribute('data-drawing');
});
svg.addEventListener('pointercancel', () => { down = corner = end = null; paint(); });

range.addEventListener('input', () => { video.pause(); video.currentTime = (Number(range.value) + 0.5) * clip.step; paint(); });
play.addEventListener('click', () => { if (!clip) return; choose(null); video.paused ? video.play() : video.pause(); });
video.addEventListener('play', () => { play.innerHTML = '&#10074;&#10074;'; tick(); });
video.addEventListener('pause', () => { play.innerHTML = '&#9654;'; });
for (const name of ['seeked', 'loadeddata', 'timeupdate']) video.addEventListener(name, paint);
function tick() { paint(); if (!video.paused) requestAnimationFrame(tick); }
for (const button of element.querySelectorAll('[data-color]'))
  button.addEventListener('click', () => choose(color === button.dataset.color ? null : button.dataset.color));
find('.stage-clear').addEventListener('click', () => { choose(null); trigger('clear'); });
watch('value', load);
load();
