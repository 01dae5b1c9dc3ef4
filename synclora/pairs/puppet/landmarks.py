"""Landmark indices of MediaPipe's face mesh (478 points with irises), by part.

Source: `mediapipe/python/solutions/face_mesh_connections.py` (contours and irises) and the published mesh map
`mediapipe/modules/face_geometry/data/canonical_face_model_uv_visualization.png` (rings and chin). Left and right are the
person's; curves run from the picture's left to its right when the portrait is frontal.
"""

# Eyes: corner, lid from corner to corner, corner. The cue's corners are 33 and 133.
RIGHT_EYE_UPPER = (33, 246, 161, 160, 159, 158, 157, 173, 133)
RIGHT_EYE_LOWER = (33, 7, 163, 144, 145, 153, 154, 155, 133)
LEFT_EYE_UPPER = (362, 398, 384, 385, 386, 387, 388, 466, 263)
LEFT_EYE_LOWER = (362, 382, 381, 380, 374, 373, 390, 249, 263)
# Second ring around the eye: the crease of the lid above, the edge of the orbit below.
RIGHT_EYE_FOLD = (130, 247, 30, 29, 27, 28, 56, 190, 243)
RIGHT_EYE_UNDER = (130, 25, 110, 24, 23, 22, 26, 112, 243)
LEFT_EYE_FOLD = (463, 414, 286, 258, 257, 259, 260, 467, 359)
LEFT_EYE_UNDER = (463, 341, 256, 252, 253, 254, 339, 255, 359)
RIGHT_BROW_UNDER = (46, 53, 52, 65, 55)
LEFT_BROW_UNDER = (285, 295, 282, 283, 276)
RIGHT_BROW = (70, 63, 105, 66, 107)
LEFT_BROW = (336, 296, 334, 293, 300)
# Irises: centre, then four points on the rim.
RIGHT_IRIS = (468, 469, 470, 471, 472)
LEFT_IRIS = (473, 474, 475, 476, 477)
# Lips: corner to corner. The speech cue is the distance 13-14 over the distance 61-291.
LIP_INNER_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LIP_INNER_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
LIP_OUTER_UPPER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LIP_OUTER_LOWER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
# Below the nose, and down the middle of the chin.
NOSE_BASE = (98, 97, 2, 326, 327)
NOSE_TIP = 1
CHIN_LINE = (18, 200, 199, 175)
# The face's outline from ear to ear under the chin, with how much each point follows the jaw.
JAW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)
JAW_SHARE = (0.0, 0.0, 0.0, 0.06, 0.16, 0.32, 0.5, 0.64, 0.74, 0.8, 0.82, 0.8, 0.74, 0.64, 0.5, 0.32, 0.16, 0.06, 0.0, 0.0, 0.0)
OVAL = (*JAW, 356, 389, 251, 284, 332, 297, 338, 10, 109, 67, 103, 54, 21, 162, 127)
CHIN = 152
FOREHEAD = 10
EARS = (234, 454)
