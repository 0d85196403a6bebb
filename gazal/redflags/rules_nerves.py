"""Emergencies of brain, cord, nerves and eyes, of injury and of mind, and risks to the safety of a person."""

from __future__ import annotations

from gazal.redflags.conditions import Aged, Rule, all_of, any_of, high, known, low, says
from gazal.redflags.rules_circulation import FEVER

RULES = (
    Rule(
        "stroke",
        "Possible stroke",
        "Note when the patient was last well and send to a stroke unit by ambulance now; check "
        "the glucose. Brain imaging decides about "
        "treatment, which is a matter of minutes.",
        "NICE NG128, Stroke and transient ischaemic attack, 2019 (updated 2022); European Stroke "
        "Organisation, Intravenous thrombolysis, 2021",
        any_of(
            says("stroke_named"),
            high("nihss", 1),
            all_of(says("face_droop"), any_of(says("one_sided_weakness", "speech_trouble", "acute_onset"))),
            all_of(says("one_sided_weakness", "speech_trouble"), says("acute_onset")),
            all_of(says("posterior_signs"), says("speech_trouble", "one_sided_weakness", "face_droop")),
            all_of(says("sudden_dizziness"), says("posterior_signs", "hoarse")),
        ),
    ),
    Rule(
        "subarachnoid_haemorrhage",
        "Possible subarachnoid haemorrhage",
        "A headache that is at its worst within a minute or so needs a CT of the head today, at "
        "once within six hours of onset, and further "
        "tests if that is clear.",
        "NICE NG228, Subarachnoid haemorrhage caused by a ruptured aneurysm, 2022",
        any_of(says("thunderclap", "sah_named")),
    ),
    Rule(
        "meningitis",
        "Possible meningitis or encephalitis",
        "Needs hospital now. Give antibiotics without delay where meningococcal disease is "
        "suspected and the transfer takes time; take blood "
        "cultures first if that costs no time.",
        "NICE NG240, Meningitis (bacterial) and meningococcal disease, 2024",
        any_of(
            says("meningitis_named"),
            all_of(FEVER, says("neck_stiffness"), says("headache", "light_hurts", "drowsy", "vomiting")),
            all_of(FEVER, says("neck_stiffness"), high("temperature", 38.0)),
            all_of(FEVER, says("bulging_fontanelle")),
            all_of(FEVER, says("headache"), says("light_hurts"), says("drowsy", "vomiting")),
            all_of(
                FEVER, says("headache"), says("drowsy", "seizure"), any_of(says("vomiting", "light_hurts", "seizure"))
            ),
        ),
    ),
    Rule(
        "status_epilepticus",
        "Seizure that does not stop",
        "A convulsion of five minutes or more, or several without waking between them: protect "
        "the airway, give oxygen, check the glucose "
        "and give a benzodiazepine now; call for help.",
        "NICE NG217, Epilepsies in children, young people and adults, 2022; Neurocritical Care "
        "Society, Status epilepticus, 2012",
        any_of(says("seizing"), all_of(says("seizure"), says("no_recovery_between"))),
    ),
    Rule(
        "cauda_equina",
        "Possible cauda equina syndrome",
        "Needs an emergency MRI of the spine and a call to the spinal team today: bladder and "
        "bowel function may be lost for good. Check "
        "perianal sensation and the residual volume of the bladder.",
        "GIRFT, Suspected cauda equina syndrome national pathway, 2023; NICE NG59, Low back pain "
        "and sciatica, 2016 (updated 2020)",
        any_of(
            says("cauda_equina_named"),
            all_of(
                says("saddle_numb"),
                any_of(says("bladder_bowel_loss", "back_pain", "bilateral_leg_signs"), high("bladder_ml", 200)),
            ),
            all_of(says("back_pain"), says("bladder_bowel_loss"), says("bilateral_leg_signs")),
            all_of(says("back_pain"), high("bladder_ml", 500)),
        ),
    ),
    Rule(
        "spinal_cord_compression",
        "Possible spinal cord compression",
        "Needs an MRI of the whole spine within 24 hours, at once with weakness, and a call to "
        "the spinal or oncology team. Nurse flat if the "
        "spine may be unstable.",
        "NICE NG234, Spinal metastases and metastatic spinal cord compression, 2023",
        any_of(
            all_of(
                known("malignancy", "spine_infection_risk"),
                says("bilateral_leg_signs", "cord_signs"),
                says("back_pain", "cord_signs"),
            ),
            all_of(
                known("spine_infection_risk"),
                FEVER,
                says("back_pain"),
                says("bilateral_leg_signs", "cord_signs", "limb_numb"),
            ),
            all_of(says("cord_signs"), says("bilateral_leg_signs")),
            all_of(FEVER, says("back_pain"), says("bilateral_leg_signs")),
        ),
    ),
    Rule(
        "acute_angle_closure",
        "Possible acute angle-closure glaucoma",
        "Needs an eye emergency service now: measure the pressure and lower it; sight can be lost within hours.",
        "NICE NG81, Glaucoma, 2017 (updated 2022); Royal College of Ophthalmologists, Angle-closure disease, 2022",
        any_of(
            high("eye_pressure", 40),
            all_of(says("angle_closure_signs"), says("eye_pain", "red_eye")),
            all_of(says("eye_pain"), says("red_eye"), says("vomiting")),
        ),
    ),
    Rule(
        "sudden_visual_loss",
        "Sudden loss of vision",
        "Needs an eye emergency service today, and stroke assessment where an artery is blocked: "
        "retinal detachment and retinal artery "
        "occlusion are treated against the clock.",
        "NICE CKS, Retinal detachment, 2022; American Academy of Ophthalmology, Retinal and "
        "ophthalmic artery occlusions, 2019",
        any_of(
            says("sudden_visual_loss"),
            all_of(says("retina_signs"), says("visual_loss_now", "acute_onset")),
            all_of(says("cannot_see"), says("acute_onset")),
        ),
    ),
    Rule(
        "giant_cell_arteritis",
        "Possible giant cell arteritis",
        "Start high-dose steroid at once if it is likely, same day with any visual symptom, and "
        "refer urgently; blood tests and ultrasound "
        "must not delay treatment.",
        "British Society for Rheumatology, Giant cell arteritis, 2020",
        any_of(
            says("gca_named"),
            all_of(
                Aged(50),
                any_of(
                    all_of(
                        says("temporal_headache"),
                        any_of(
                            says("scalp_tender", "jaw_claudication", "temporal_artery", "transient_vision"),
                            high("esr", 50),
                            high("c_reactive_protein", 25),
                        ),
                    ),
                    all_of(
                        says("jaw_claudication"),
                        says("scalp_tender", "transient_vision", "headache", "temporal_artery"),
                    ),
                    all_of(
                        says("scalp_tender", "temporal_artery"),
                        any_of(says("transient_vision", "headache"), known("polymyalgia")),
                    ),
                ),
            ),
        ),
    ),
    Rule(
        "head_injury",
        "Head injury with risk of bleeding",
        "Needs a CT of the head: within one hour with danger signs, within eight hours for people "
        "who take an anticoagulant even if well. "
        "Watch consciousness meanwhile.",
        "NICE NG232, Head injury, 2023",
        all_of(
            says("head_blow"),
            any_of(known("anticoagulant"), says("head_danger_signs"), low("glasgow_coma_scale", 14), high("inr", 1.5)),
        ),
    ),
    Rule(
        "suicide_risk",
        "Thoughts of suicide or risk of serious self-harm",
        "Do not leave the person alone. Ask openly about plan and means, remove the means, and "
        "involve crisis or emergency mental health "
        "services now. Whoever is in danger themselves can call the emergency number or a crisis line.",
        "NICE NG225, Self-harm, 2022; WHO mhGAP guideline, 2023",
        any_of(says("suicidal"), says("self_harm"), says("harm_others")),
    ),
    Rule(
        "overdose",
        "Possible overdose or poisoning",
        "Assess airway, breathing and consciousness now, ask what, how much and when, and call "
        "the poisons service. Paracetamol is dangerous "
        "while the patient still feels well; give naloxone for opioids that suppress breathing.",
        "RCEM and National Poisons Information Service, Guideline on antidote availability, 2021; "
        "TOXBASE; WHO, Community management of opioid "
        "overdose, 2014",
        any_of(
            says("overdose_taken", "carbon_monoxide"),
            high("cohb", 10),
            all_of(
                says("opioid_signs"),
                any_of(says("unresponsive", "drowsy"), low("respiratory_rate", 10), low("glasgow_coma_scale", 13)),
            ),
        ),
    ),
    Rule(
        "safeguarding",
        "Possible abuse or neglect",
        "Make sure the person is safe now, listen, record their own words and the injuries, and "
        "follow the local safeguarding procedure today. "
        "Do not confront the suspected person.",
        "NICE NG76, Child abuse and neglect, 2017; NICE PH50, Domestic violence and abuse, 2014; "
        "RCPCH, Child protection companion, 2013",
        any_of(says("abuse_told"), all_of(says("child_injury_pattern"), any_of(Aged(below=3), says("story_changes")))),
    ),
)
