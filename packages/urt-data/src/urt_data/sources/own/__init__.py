"""Data of one's own: a table with any columns, folders of pictures, webdataset tars."""
