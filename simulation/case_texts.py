"""The words of the cases: generated, or real ones from files. Pure and seeded.

Invariants: a generated text names the place and carries words of its category, so that it can be
routed by words; it names no person and no telephone number.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

LONGEST_TITLE = 200
LONGEST_TEXT = 20_000


class MessagesError(ValueError):
    """A file of messages that cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class CaseText:
    """Title and text of a case; `category` is what it is about, or None where nobody said."""

    title: str = field(repr=False)
    text: str = field(repr=False)
    category: str | None


# Per category: what is wrong (title), and how it shows (text). {spot} is a place in the town.
_PROBLEMS: dict[str, tuple[tuple[str, str], ...]] = {
    "城乡建设": (
        ("窨井盖缺失", "路面上的窨井盖缺失已经{days}天，旁边只放了一块木板，夜里行人看不清，非常危险"),
        ("违章搭建长期无人处理", "有住户在楼顶违章搭建彩钢房，挤占公共通道，小区物业多次劝阻无效"),
        ("路灯不亮", "整条路有{count}盏路灯不亮，居民晚上出行只能打手电，希望维修路灯"),
        ("小区物业管理混乱", "小区物业收费不公开，电梯经常停运，业主委员会迟迟没有成立"),
        ("排水管道堵塞污水外溢", "排水管道堵塞，一下雨污水就从井口外溢，一楼住户家中进水{count}次"),
        ("老旧小区改造进度缓慢", "老旧小区改造工程停工{days}天，外墙脚手架没有拆除，住房采光受影响"),
        ("人行道地砖破损", "人行道地砖破损松动，盲道被施工围挡占用，老人和孩子容易绊倒"),
        ("自来水水压不足", "高层住户自来水水压不足，每天早晚用水高峰基本没有水，供水设施需要改造"),
    ),
    "劳动和社会保障": (
        ("企业拖欠工资", "一家服装厂拖欠{count}名工人工资已有{days}天，工人多次讨薪没有结果"),
        ("社保缴费记录缺失", "居民反映单位没有按月缴纳社保，养老保险缴费记录缺了{count}个月"),
        ("失业保险金申领困难", "失业人员申领失业保险金，窗口要求反复提交劳动合同证明"),
        ("工伤认定迟迟没有结果", "工人在工地受伤，工伤认定申请递交{days}天仍没有结果，医疗费用无力承担"),
        ("退休手续办理缓慢", "职工到龄办理退休，养老金核定拖了{days}天，人事档案转递不畅"),
        ("技能培训补贴未到账", "参加职业技能培训并就业的人员，培训补贴至今没有到账"),
    ),
    "教育文体": (
        ("小学学位紧张", "新建小区入住率高，小学学位紧张，{count}名适龄儿童入学要到外镇的学校就读"),
        ("校外培训机构退费难", "一家校外培训机构突然停课，{count}名学生家长要求退学费没有答复"),
        ("幼儿园收费不规范", "幼儿园在保教费之外收取兴趣班费用，家长认为教育收费不透明"),
        ("学校周边缺少接送区", "学校放学时家长的车停满两侧，学生过马路没有老师和护学岗"),
        ("文化礼堂长期不开放", "村文化礼堂建成后长期锁门，农家书屋和健身器材村民用不上"),
        ("体育健身设施损坏", "公园里的体育健身设施损坏{count}处，篮球场地面开裂，孩子运动容易受伤"),
    ),
    "商贸旅游": (
        ("菜市场经营秩序差", "菜市场摊位出摊经营，缺斤短两，消费者投诉后商家态度恶劣"),
        ("预付卡消费退款难", "健身房关门停业，{count}名消费者办理的预付卡无法退款，商家失去联系"),
        ("景区停车收费过高", "景区节假日停车收费过高，游客中心没有明码标价，旅游体验差"),
        ("民宿虚假宣传", "民宿在网上的宣传与实际不符，游客要求退还订金被拒绝"),
        ("超市销售过期食品", "社区超市销售过期食品，消费者要求赔偿遭到拒绝"),
        ("商业街空铺多", "步行街商铺空置{count}间，商户反映客流下降，希望引导夜间消费和旅游活动"),
    ),
    "环境保护": (
        ("工厂夜间排放废气", "工厂夜间排放刺鼻废气，附近居民不敢开窗，怀疑环保设施没有运行"),
        ("河道水质发黑发臭", "河道水质发黑发臭已有{days}天，岸边有生活污水直排口，污染严重"),
        ("建筑工地扬尘噪声扰民", "工地凌晨还在施工，噪声扰民，渣土没有覆盖，扬尘污染严重"),
        ("垃圾中转站异味", "垃圾中转站异味严重，渗滤液流到路面，夏天蚊蝇多，影响周边环境"),
        ("餐饮油烟直排", "楼下餐饮店油烟直排，油烟净化器形同虚设，居民投诉{count}次没有改善"),
        ("畜禽养殖污染", "养殖场粪污没有处理就排入水塘，气味难闻，村民饮水担心受到污染"),
    ),
    "卫生计生": (
        ("社区卫生服务站缺药", "社区卫生服务站常用药短缺，慢性病老人要到区医院配药"),
        ("医院挂号排队时间长", "医院专家门诊挂号排队超过{count}小时，老人不会用手机预约就诊"),
        ("疫苗接种点安排不合理", "疫苗接种点只在工作日开放，上班族接种不便，现场医生护士不足"),
        ("村卫生室没有医生", "村卫生室医生退休后一直没有人接替，村民看病要走{count}公里"),
        ("医保报销流程复杂", "住院患者医疗费用报销要跑{count}趟，医院与医保窗口说法不一"),
        ("生育登记服务不便", "办理生育登记要回户籍地，孕产妇保健手册领取不便"),
    ),
    "交通运输": (
        ("公交线路班次太少", "公交线路高峰期间隔{count}分钟，上班族和学生候车时间太长，希望增加班次"),
        ("十字路口缺少红绿灯", "十字路口车流量大却没有红绿灯，近期发生{count}起交通事故"),
        ("停车位严重不足", "夜间停车位严重不足，车辆占道停放，消防通道和公交车通行受阻"),
        ("公交站台没有候车亭", "公交站台没有候车亭，雨天老人候车无处避雨，站牌信息也已过期"),
        ("公路路面坑洼", "县道公路路面坑洼，大货车超载通行，{days}天来只补了一次"),
        ("出租车拒载绕路", "火车站出租车拒载、绕路、不打表，乘客投诉后没有回音"),
    ),
    "公共安全": (
        ("消防通道被占用", "居民楼消防通道被杂物和电动车占用，消防栓没有水，存在火灾安全隐患"),
        ("电信诈骗多发", "小区{count}位老人接到冒充公检法的诈骗电话，希望派出所民警上门宣传反诈"),
        ("电动车楼道充电", "电动车在楼道飞线充电，曾经冒烟起火，消防安全隐患突出"),
        ("治安监控损坏", "路口治安监控损坏{days}天，附近接连发生盗窃，居民报警后没有录像"),
        ("高空抛物", "高层住户经常高空抛物，砸坏车辆{count}辆，居民要求公安机关查处"),
        ("水库边没有警示标志", "水库岸边没有警示标志和救生设施，暑期有孩子下水，溺水安全隐患大"),
    ),
}
# The storm day (typhoon, 2021-07-25): fallen trees, missing manhole covers, flooded roads.
_STORM_PROBLEMS: dict[str, tuple[tuple[str, str], ...]] = {
    "城乡建设": (
        ("台风后行道树倒伏、窨井盖缺失", "台风过后行道树倒伏{count}棵，有一处窨井盖缺失，积水看不清路面"),
        ("暴雨后排水不畅小区积水", "暴雨后排水管道不畅，小区积水没过小腿，地下车库进水，物业水泵不够"),
        ("大风吹落广告牌和路灯杆", "大风吹落广告牌，路灯杆倾斜{count}根，横在人行道上"),
    ),
    "公共安全": (
        ("台风天电线垂落", "台风把电线刮断垂到积水里，有触电的安全隐患，请尽快拉警戒"),
        ("山坡土石松动", "连续暴雨，屋后山坡土石松动，{count}户居民担心塌方，需要安全转移"),
    ),
    "交通运输": (
        ("道路积水公交中断", "道路积水约{count}厘米，公交车绕行，多辆汽车熄火堵在交通路口"),
        ("树木倒在公路上", "大树倒在公路上，双向交通中断，客运班车无法通行"),
    ),
}
_SPOT_FIRST = "春夏秋丰平兴康福文明学前和顺祥瑞景阳朝晖翠华锦绣海"
_SPOTS = (
    "{a}{b}路与{c}{d}街路口",
    "{a}{b}苑{n}幢",
    "{a}{b}村{n}组",
    "{a}{b}路{n}号附近",
    "{a}{b}桥头",
    "{a}{b}社区",
    "{a}{b}大道中段",
    "{a}{b}新村北门",
)
_OPENINGS = (
    "走访中群众反映，",
    "在联络站接待时，有居民反映：",
    "代表码收到一条意见：",
    "今天路过时发现，",
    "多位选民来电反映，",
    "网格员和村民都提到，",
    "",
)
_REQUESTS = (
    "请有关部门尽快到现场处理。",
    "希望一周内给出处理意见。",
    "建议先做临时防护，再安排彻底整改。",
    "请核实情况并答复居民。",
    "居民盼望早日解决。",
    "请明确责任单位和完成时间。",
)


def generated_text(
    rng: random.Random, town: str, category: str, *, storm: bool = False, resident: bool = False
) -> CaseText:
    """A case of a category in a town; with `storm` one of the storm day where the category has such."""
    problems = _STORM_PROBLEMS.get(category) if storm else None
    problem, showing = rng.choice(problems or _PROBLEMS[category])
    a, b, c, d = rng.sample(_SPOT_FIRST, 4)
    spot = rng.choice(_SPOTS).format(a=a, b=b, c=c, d=d, n=rng.randint(1, 60))
    shown = showing.format(days=rng.randint(3, 60), count=rng.randint(2, 30))
    opening = rng.choice(_OPENINGS[:3] if resident else _OPENINGS)
    return CaseText(
        f"{town}{spot}{problem}", f"{opening}{town}{spot}，{shown}。{rng.choice(_REQUESTS)}", category
    )


def storm_report(town: str, number: int) -> CaseText:
    """One of many reports of the same matter on the storm day; nothing in it says whose business it is."""
    return CaseText(
        f"{town}台风灾情第{number + 1}份报告",
        f"{town}有一处台风造成的灾情，左邻右舍都看到了，与别的代表所报是同一件事。请尽快派人查看。",
        None,
    )


def storm_categories() -> tuple[str, ...]:
    """Categories that have texts of their own for the storm day."""
    return tuple(_STORM_PROBLEMS)


def read_messages(paths: Sequence[Path]) -> tuple[CaseText, ...]:
    """Real messages from JSON-lines files with `subject`, `body` and maybe `label` (a category).

    A title or text beyond what a case may hold is cut at LONGEST_TITLE or LONGEST_TEXT characters.
    Raises MessagesError, which names file and line and never repeats what stands there.
    """
    texts: list[CaseText] = []
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except OSError as error:
            raise MessagesError(f"{path}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise MessagesError(f"{path}: is not UTF-8") from error
        texts += [_message(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    return tuple(texts)


def _message(path: Path, number: int, line: str) -> CaseText:
    where = f"{path}, line {number}"
    try:
        raw = json.loads(line)
    except ValueError as error:
        raise MessagesError(f"{where}: is not JSON") from error
    subject, body = (raw.get("subject"), raw.get("body")) if isinstance(raw, dict) else (None, None)
    if not isinstance(subject, str) or not isinstance(body, str):
        raise MessagesError(f"{where}: needs the texts subject and body")
    title, text = subject.strip()[:LONGEST_TITLE], body.strip()[:LONGEST_TEXT]
    if not title or not text:
        raise MessagesError(f"{where}: subject or body is empty")
    label = raw.get("label")
    return CaseText(title, text, label if isinstance(label, str) and label else None)
