"""A model in this process, from its folder to its tokens: checked, opened, asked, decoded. Trainer and engines share it.

folder --processing--> tokenizer and image processor --encoding--> tensors --decoding--> G completions of each prompt
"""
