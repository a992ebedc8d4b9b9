"""How far everything is, in metres, from single images: by networks that run here.

Each is a function of a footage, a reader of its images, intrinsics where they are known, and options. They err by a
factor that stays the same for a camera more than from pixel to pixel: `calibration` takes it out where it is known.
"""
