// A zip archive ends with a record of its own. One that was broken off on the way has none.
const END_BYTES = 22;
const SIGNATURE = [0x50, 0x4b, 0x05, 0x06];

export async function isWhole(archive: Blob): Promise<boolean> {
  const end = new Uint8Array(await archive.slice(-END_BYTES).arrayBuffer());
  return end.length === END_BYTES && SIGNATURE.every((byte, at) => end[at] === byte);
}
