"""Metrics of a logger, and which of them share a chart."""

from urt_core.bench.report.curves import read_metrics, stage_curves


def test_metrics_of_a_logger_with_gaps_are_read(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,train/loss,val\n0,1,2.5,\n0,1,,0.5\n0,2,nan,\n0,3,inf,\n0,4,1.5,word\n")
    assert read_metrics(path) == {"train/loss": [(1.0, 2.5), (4.0, 1.5)], "val": [(1.0, 0.5)]}


def test_parts_of_the_reward_share_a_chart_and_the_loss_comes_first(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(
        "step,new_thing,reward/format,loss,reward,left_out,once\n"
        + "".join(f"{n},1,1,{n},2,0,{'' if n else 3}\n" for n in range(3))
    )
    curves = stage_curves("GRPO", path)
    charts = curves.charts
    assert curves.always_zero == ("left out",)
    assert [chart.title for chart in charts] == ["Loss", "Mean reward of a judgement", "New thing"]
    assert [label for label, _ in charts[1].legend] == ["total", "format"]


def test_the_last_value_of_a_curve_is_its_legend(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss,time/rollout,time/weights\n0,2,1,3\n1,1,2,4\n")
    loss, seconds = stage_curves("GRPO", path).charts
    assert loss.legend == (("total", "1"),)
    assert seconds.legend == (("rollout", "2"), ("weights", "4"))
