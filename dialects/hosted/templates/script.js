
// Counts down to when another code may be asked for. Without it the page says how long that is, and the server decides.
(() => {
  const wait = document.getElementById('wait');
  if (!wait) return;
  const button = document.getElementById('resend');
  const end = Date.now() + wait.dataset.seconds * 1000;
  const tick = () => {
    const left = Math.ceil((end - Date.now()) / 1000);
    button.disabled = left > 0;
    wait.hidden = left <= 0;
    if (left > 0) {
      wait.textContent = wait.dataset.text.replace('{seconds}', left);
      setTimeout(tick, 250);
    }
  };
  tick();
})();
