"""The sentences 消息文本 of notices: one table from kind and parameters to Chinese.

Invariant: every kind has a sentence, whatever its parameters are; a value without a word of its own
stands there as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone

from services.notify.domain import Kind, Parameter

_BEIJING = timezone(timedelta(hours=8))

SENTENCES: Mapping[Kind, str] = {
    "case.routed": "您的督事已交办，类别：{category}。",
    "case.accepted": "承办单位已签收您的督事。",
    "case.informed": "您的督事并入的同类督事已答复，结果：{result}。请查看答复。",
    "case.answered": "承办单位已答复您的督事，结果：{result}。请查看并确认办结。",
    "case.returned": "承办单位退回了您的督事，将由人大工作人员重新交办。",
    "case.progressed": "承办单位报告了督事的办理进展。",
    "case.asked": "承办单位请您补充情况，补充前不计办理时间。",
    "case.resumed": "补充情况的时间已过，您的督事恢复办理。",
    "case.extended": "您的督事办理期限已延长，新的期限：{answer_by}。",
    "case.reopened": "您关注的督事已重新办理，答复期限：{answer_by}。",
    "case.supervised": "您的督事已列入督办。",
    "case.merged": "您的督事已并入同类督事一并办理，办结时会通知您。",
    "case.closed": "您的督事已办结，结果：{result}。欢迎评价。",
    "case.rated": "代表评价了贵单位办理的督事：{stars}星。",
    "case.assigned": "贵单位有一件新的督事待签收，类别：{category}。",
    "case.joined": "有代表对您的督事表示附议。",
    "case.reminded": "您的督事已办结，请评价办理结果。",
    "work.urge-withdrawn": "一件督事的答复是按期作出的，催办已撤销。",
    "work.redated": "一件督事的期限已按新的放假安排重新计算：{answer_by}。",
    "work.co-handled": "贵单位被确定为一件督事的会办单位，请向主办单位提出意见。",
    "work.supplied": "已补充情况，请继续办理，答复期限：{answer_by}。",
    "work.resumed": "补充情况的时间已过，请恢复办理，答复期限：{answer_by}。",
    "work.extension-granted": "延期申请已获同意，新的答复期限：{answer_by}。",
    "work.extension-refused": "延期申请未获同意，答复期限仍为：{answer_by}。",
    "work.opinion": "会办单位已对一件督事提出会办意见。",
    "work.reopened": "一件督事需重新办理，答复期限：{answer_by}。",
    "work.urged": "催办：一件督事请抓紧办理，答复期限：{answer_by}。",
    "work.supervised": "督办：一件督事已列入督办，答复期限：{answer_by}。",
    "work.recalled": "一件督事已撤回或并案，贵单位不必再办理。",
    "case.triage": "有一件督事被退回，待重新交办。",
    "case.unrouted": "有一件督事没有自动派单，请派单。",
    "case.triage-late": "有一件督事逾期未分流，请派单或者不予受理。",
    "case.close-late": "有一件督事已答复，代表逾期未办结，请代为办结。",
    "case.close-reminder": "承办单位已答复您的督事，请办结，或者要求重新办理。",
    "case.declined": "您的督事不予受理，请查看理由。",
    "case.split": "您的督事有一部分已拆分为另一件督事办理。",
    "work.split": "贵单位办理的一件督事有一部分已拆分为另一件督事办理。",
    "case.decide-extension": "有一件督事申请延期，请审批。",
    "case.overdue": "有一件督事逾期未办，系统已催办，期限：{answer_by}。",
    "concern.submitted": "有居民通过您的代表码反映问题，请在{take_up_by}前接收、解释说明或者不予受理。",
    "concern.passed-up": "有一件居民反映的问题逾期未接收，请处理。",
    "concern.rated": "居民评价了其反映问题的办理情况：{stars}星。",
    "concern.reopened": "居民对办理结果不满意，已重新办理，答复期限：{answer_by}。",
    "concern.objected": "居民对解释说明或者不予受理有不同意见，由人大工作人员复核；您也可以接收。",
    "concern.to-review": "有居民对解释说明或者不予受理有不同意见，请在{take_up_by}前复核、答复。",
    "concern.withdrawn": "居民撤回了其反映的问题。",
    "concern.erased": "居民撤回同意，其反映的内容和联系方式已删除，请同时删除您留存的内容。",
    "concern.supplied": "居民已补充情况，承办单位继续办理。",
    "work.erased": "居民撤回同意，请删除贵单位留存的该件内容和联系方式。",
    "work.concern-rated": "居民评价了贵单位办理的一件督事：{stars}星。",
    "case.referred": "您的督事已转为{became}。",
    "motion.invited": "有代表邀请您联名一件{kind}，请阅读文本后确认。",
    "motion.changed": "您已联名的一件{kind}文本有修改，请重新阅读并确认。",
    "motion.cosigned": "您联名的一件{kind}已提交。",
    "motion.examine": "有一件新提交的{kind}待审查。",
    "motion.returned": "您的{kind}需要修改，请按意见修改后再次提交。",
    "motion.accepted": "您的{kind}已受理登记。",
    "motion.turned": "您的议案已转为建议、批评和意见办理。",
    "motion.refused": "您的{kind}未予受理，请查看理由。",
    "motion.assigned": "您的{kind}已交办，答复期限：{due_at}。",
    "motion.objected": "承办单位对您的{kind}申请退回，将重新确定承办单位。",
    "motion.reassign": "有承办单位对一件{kind}申请退回，请处理，期限：{due_at}。",
    "motion.decide-extension": "有一件{kind}申请延期答复，请审批。",
    "motion.extended": "您的{kind}答复期限已延长至{due_at}。",
    "motion.supervised": "您的{kind}已列入重点督办。",
    "motion.answered": "承办单位已答复您的{kind}，请评价办理态度和办理结果。",
    "motion.redo": "代表对一件{kind}的办理不满意，需再次办理，期限：{due_at}。",
    "motion.promise-reported": "承办单位报告了您的{kind}承诺事项的落实情况，请评价。",
    "motion.overdue": "一件{kind}的{deadline}已逾期，期限：{due_at}，请督促办理。",
    "motion.late": "承办单位逾期未答复您的{kind}，期限：{due_at}，系统已催办。",
    "motion.unstated": "您的{kind}逾期未评价，已按未表态办结。",
    "motion.redated": "一件{kind}的{deadline}期限已重新核定：{due_at}。",
    "motion.referred": "您的议案已交专门委员会审议。",
    "motion.advised": "专门委员会已对您的议案提出审议报告，请查看。",
    "motion.tabled": "您的议案已列入会议议程。",
    "motion.concluded": "您的议案已审议终结，请查看结果。",
    "work.motion": "贵单位为一件{kind}的主办单位，答复期限：{due_at}。",
    "work.motion-co-handled": "贵单位为一件{kind}的会办单位，请向主办单位提出意见。",
    "work.motion-opinion": "会办单位已对一件{kind}提出会办意见。",
    "work.motion-extension-granted": "一件{kind}的延期申请已获同意，新的答复期限：{due_at}。",
    "work.motion-extension-refused": "一件{kind}的延期申请未获同意，答复期限仍为：{due_at}。",
    "work.motion-supervised": "一件{kind}已列入重点督办，期限：{due_at}。",
    "work.motion-rated": "代表已评价贵单位办理的一件{kind}。",
    "work.motion-redo": "代表对一件{kind}的办理不满意，请再次办理，期限：{due_at}。",
    "work.motion-promise-rated": "代表已评价贵单位一件{kind}承诺事项的落实情况。",
    "work.motion-withdrawn": "代表已撤回一件{kind}，贵单位不必再办理。",
    "work.motion-overdue": "催办：一件{kind}的{deadline}已逾期，期限：{due_at}，请抓紧办理。",
    "work.motion-unstated": "代表逾期未评价贵单位办理的一件{kind}，已按未表态办结。",
    "work.motion-redated": "一件{kind}的{deadline}期限已重新核定：{due_at}。",
    "activity.announced": "新的代表活动：{title}（{kind}），{starts_at}开始，欢迎报名。",
    "consultation.opened": "{kind}：{title}，截止{closes_at}，请提出意见。",
    "consultation.closed": "意见征集已结束：{title}，共{respondents}人参与，提出意见{opinions}条。",
    "course.published": "网上学堂新课程：{title}，共{minutes}分钟。",
    "course.completed": "您已完成网上学堂课程学习，学时{minutes}分钟，测验{mark}分。",
    "appeal.filed": "有代表对履职评分提出申诉，请复核。",
    "appeal.upheld": "您对履职评分的申诉成立，得分已更正。",
    "appeal.dismissed": "您对履职评分的申诉未获支持，请查看理由。",
    "archive.noted": "您的履职档案有新的记载，请查看。",
    "duty.confirmed": "您{happened_on}的履职登记（{kind}）已确认。",
    "duty.rejected": "您{happened_on}的履职登记（{kind}）未通过确认，请核对后重新登记。",
}

_WORDS: Mapping[str, Mapping[str, str]] = {
    "became": {"motion": "议案、建议", "project-lead": "民生实事线索"},
    "deadline": {
        "assign": "交办",
        "reassign": "重新交办",
        "first-contact": "首次沟通",
        "opinion": "会办意见",
        "answer": "答复",
        "redo": "再次办理",
        "promise": "承诺落实",
        "object": "申请退回",
        "feedback": "评价",
        "unstated": "评价",
        "rate-promise": "评价承诺落实",
        "refer": "列入议程或者交专门委员会",
        "committee": "专门委员会报告",
        "adopt": "常务委员会审议报告",
        "conclude": "表决",
    },
    "result": {"solved": "已解决", "explained": "已解释说明", "unsolved": "未解决"},
    "kind": {
        "theme": "主题活动",
        "inspection": "视察",
        "research": "调研",
        "reception": "接待选民",
        "training": "培训",
        "visit": "走访",
        "hearing": "旁听听证",
        "meeting": "会议",
        "legislation": "立法意见征集",
        "questionnaire": "问卷调查",
        "bill": "议案",
        "suggestion": "建议",
    },
}
_MOMENTS = {"starts_at", "closes_at", "answer_by", "due_at", "take_up_by"}
_DAYS = {"happened_on"}


class _Said(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "未定"


def sentence(kind: Kind, parameters: Mapping[str, Parameter]) -> str:
    """The sentence of a notice; what is not known is said to be open."""
    said = _Said({name: _word(name, value) for name, value in parameters.items() if value is not None})
    return SENTENCES[kind].format_map(said)


def _word(name: str, value: str | int) -> str:
    text = str(value)
    try:
        if name in _MOMENTS:
            moment = datetime.fromisoformat(text).astimezone(_BEIJING)
            return f"{moment.year}年{moment.month}月{moment.day}日{moment:%H:%M}"
        if name in _DAYS:
            day = date.fromisoformat(text)
            return f"{day.year}年{day.month}月{day.day}日"
    except ValueError:
        return text
    return _WORDS.get(name, {}).get(text, text)
