// Without this script the heat is shown at its half, and the sliders are hidden.
document.documentElement.classList.add("live");
const all = document.getElementById("all-heat");
const show = (slider) =>
  slider.closest(".slide").style.setProperty("--heat", slider.value / 100);
document.addEventListener("input", (event) => {
  if (event.target === all) {
    for (const slider of document.querySelectorAll(".slide input")) {
      slider.value = all.value;
      show(slider);
    }
  } else if (event.target.matches(".slide input")) show(event.target);
});
