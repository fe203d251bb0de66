"""What people look at: the picture of a result, and the report of a run.

Everything here takes datasets and tables as they lie in stores and files, never a run's own objects.
"""
