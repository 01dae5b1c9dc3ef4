// The page's words: what each reason, stage, part and signal means, and how numbers are written. A test holds them against synclora.

// What went wrong, and what would do about it. Reasons that judge a pair of a training set need no remedy here: they come as a verdict.
export const REASONS = {
  missing: ["A file named in the request did not arrive.", "Choose the files again and start the edit once more."],
  unreadable: ["The file is there, but may not be read.", "Choose the file again; if it comes back, tell whoever runs this service."],
  outside_input: ["The file lies outside its folder, or a link leads out of it.", "Choose the file itself, not a link to it."],
  empty_file: ["The file has no bytes.", "Choose another file; the copy or the download was probably cut off."],
  unknown_container: ["The file is no video container that we open.", "Save the clip as MP4, MOV or WebM and choose that."],
  broken_media: ["The file is damaged: decoding stopped before its end.", "Export or copy the file again and choose that."],
  no_video_stream: ["The file holds no moving picture, for example sound alone.", "Choose a video."],
  too_many_streams: ["The file holds more streams than any camera writes.", "Export the clip with one picture and one sound track."],
  too_large: ["The file has more bytes than the limit.", "Cut the clip, or save it with a lower bit rate."],
  too_long: ["The video has more seconds or frames than the limit.", "Cut the clip into shorter ones."],
  too_short: ["The video has too few frames.", "Choose a longer clip."],
  frame_rate: ["The frame rate is below or above what a performance needs.", "Export the clip at 24 to 30 frames a second."],
  picture_size: ["The picture is too small for a face, or too large to decode.", "Export the clip at 512 to 1080 pixels a side."],
  timed_out: ["The file did not finish in its time, on every try.", "Cut the clip, or export it again."],
  crashed: ["The worker died on this edit, on every try.", "Export the clip again; if it comes back, tell whoever runs this service."],
  bad_row: ["The row of the input table cannot be used.", ""],
  missing_half: ["Only one half of the pair was found.", "Choose both the source and its edited first frame."],
  duplicate: ["Another input has the same name.", ""],
  length_mismatch: ["Source and edit differ in length by more than can be trimmed.", ""],
  fps_mismatch: ["Source and edit have different frame rates.", ""],
  not_finite: ["The autoencoder made no numbers of the video: infinities, or none at all.", "Export the clip again; if it comes back, tell whoever runs this service."],
  no_face: ["No face was found.", "Choose a clip and a first frame in which the face can be seen."],
  two_faces: ["A second person is in the picture.", "Crop the clip to one person."],
  face_lost: ["The face leaves the picture or is lost by the edit.", "Cut the clip to where the face is seen, or try another seed."],
  no_evidence: ["Nothing moves beyond its measuring noise, so nothing can be compared.", ""],
  no_edit: ["The edit is a copy of the source.", "Choose the edited picture, not the frame as it was taken out."],
  edit_fades: ["The edit shows in the first frame and then goes.", "Try another seed or another adapter."],
  misaligned: ["The first frames do not lie on each other: face or hands stand elsewhere.", "Edit the frame that was taken out of this clip, and keep head and hands where they are."],
  late: ["The edit moves too early or too late, in all or in part.", "Try another seed."],
  speech: ["The mouths do not open together.", "Try another seed, or a lighter edit around the mouth."],
  gaze: ["The eyes do not look the same way together.", "Try another seed, or a lighter edit around the eyes."],
  blink: ["The lids do not close together.", "Try another seed, or a lighter edit around the eyes."],
  pose: ["Head, shoulders or arms do not move together.", "Try another seed."],
  sync: ["Each cue passes, but their mean is too low.", "Try another seed."],
  not_best: ["The pair passes every check, but others score better.", ""],
  bad_request: ["The request holds a value that cannot be used.", "Correct the value that is named and start again."],
  unknown_adapter: ["There is no adapter of this name.", "Choose one from the list; it may have been removed since the page was opened."],
  bad_adapter: ["The adapter’s file is damaged, or made for another model.", "Choose another adapter, and tell whoever runs this service."],
  no_consent: ["Nobody said that the people shown agree to the edit.", "Ask them, then tick the line above the button."],
  unauthorized: ["This service wants a key that it knows.", "Open the page on the machine that the service runs on, or give the service keys."],
  not_found: ["There is no such edit, or it belongs to another key.", "It may have been removed: finished edits are kept for a limited time."],
  conflict: ["The request contradicts what is there.", "Load the page again and look at the edit’s state."],
  key_limit: ["This key has as many edits under way, or has asked as often, as it may.", "Wait for an edit to finish, then start this one."],
  queue_full: ["As many edits are waiting as the service takes.", "Start this one again in a while; your files stay chosen."],
  deadline: ["The edit did not finish in the time that an edit has.", "Try again when fewer edits wait, or with a shorter clip."],
  no_space: ["The disk of the service is full.", "Tell whoever runs this service; your files stay chosen."],
  unavailable: ["The service cannot reach its job table just now.", "Try again in a moment."],
  out_of_memory: ["The edit does not fit the memory of the machine or its card.", "Try a shorter or a smaller clip."],
  // Said by this page alone
  unreachable: ["The service does not answer.", "See whether the network is there, then try again: the same edit is not made twice."],
  unplayable: ["This browser cannot play the video.", "Save it as MP4 with H.264, or take the first frame out elsewhere, for example by “ffmpeg -i clip.mov -frames:v 1 first.png”. The service may still take the clip."],
  not_a_picture: ["This browser cannot show the picture.", "Save the frame as PNG or JPEG."],
};

export const explain = (reason) => REASONS[reason]?.[0] ?? "";
export const remedy = (reason) => REASONS[reason]?.[1] ?? "";

// In the order in which an edit goes through them.
export const STAGES = {
  preparing: ["Preparing", "the clip is read, the frame is laid on it"],
  encoding: ["Encoding", "source and frame become latents"],
  sampling: ["Sampling", "the model draws the edit"],
  decoding: ["Decoding", "latents become frames"],
  measuring: ["Measuring", "edit and source are compared, cue by cue"],
  storing: ["Storing", "the video is put away"],
};

export const STATES = { queued: "waiting", running: "under way", succeeded: "done", failed: "failed", cancelled: "cancelled" };

export const CUES = ["speech", "gaze", "blink", "pose"];

export const PARTS = { mouth: "mouth", iris: "iris", lids: "lids", head: "head", shoulders: "shoulders", left_arm: "left arm", right_arm: "right arm" };

export const SIGNALS = {
  speech: "lip gap over mouth width",
  gaze: "iris offset over eye width",
  blink: "closing of the lids",
  head_yaw: "head, turn",
  head_pitch: "head, nod",
  head_roll: "head, tilt",
  shoulders_roll: "shoulders, tilt",
  left_elbow: "left elbow, angle",
  left_wrist_x: "left wrist, sideways",
  left_wrist_y: "left wrist, height",
  right_elbow: "right elbow, angle",
  right_wrist_x: "right wrist, sideways",
  right_wrist_y: "right wrist, height",
};

// Why a part is no evidence.
export const WHY = { still: "it moves less than its measuring noise", hidden: "it is out of sight for too long" };

export const RANDOM_WEIGHTS = "Random weights: this proves the plumbing, not a picture";

const DASH = "–";

// A number for people: fixed digits, a true minus, a dash where there is none, never a minus zero.
export function number(value, digits = 2, sign = false) {
  if (value === null || value === undefined || Number.isNaN(value)) return DASH;
  const text = (Number(value.toFixed(digits)) + 0).toFixed(digits);
  return (sign && Number(text) > 0 ? `+${text}` : text).replace("-", "−");
}

export const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en").replaceAll(",", "\u202f")} ${count === 1 ? one : many}`;

export const bytes = (count) => (count < 1e6 ? `${number(count / 1e3, 0)} kB` : `${number(count / 1e6, count < 1e8 ? 1 : 0)} MB`);

export function duration(seconds) {
  if (seconds < 60) return `${number(seconds, seconds < 10 && !Number.isInteger(seconds) ? 1 : 0)} s`;
  const whole = Math.round(seconds);
  return whole < 3600 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

// "30000/1001" to a number.
export function rate(fps) {
  const [above, below = 1] = String(fps).split("/").map(Number);
  return above / below;
}

// Verdicts that are not about step.
const WHOLE = {
  no_face: "The edit shows no face, so nothing can be compared.",
  face_lost: "The edit loses the face, so nothing can be compared.",
  no_evidence: "Nothing moves beyond its measuring noise, so nothing can be compared.",
  no_edit: "The edit is a copy of its source.",
  edit_fades: "The edit shows in the first frame and then goes.",
};

// The verdict on a finished edit, in one sentence.
export function verdict(report) {
  const why = explain(report.reason);
  if (report.verdict === "kept") return "In step with its source: every cue that can be judged agrees.";
  if (report.verdict === "rejected" && WHOLE[report.reason]) return WHOLE[report.reason];
  if (report.verdict === "rejected") return `Not in step. ${why}`;
  return `Could not be judged. ${why}`;
}
