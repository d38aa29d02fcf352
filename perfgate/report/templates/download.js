document.getElementById("needs-scripts").hidden = true;
for (const button of document.querySelectorAll("button[data-holder]")) {
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.holder).textContent.trim();
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await new Response(unpacked).blob());
    link.download = button.dataset.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  });
}
