"""`urt-train pipeline` for a clone: python apps/pipeline.py [setting=value ...]"""

from urt_train.programs.pipeline import main

if __name__ == "__main__":
    main()
