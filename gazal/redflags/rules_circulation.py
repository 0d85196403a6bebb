"""Emergencies of heart, vessels, lungs and airway."""

from __future__ import annotations

from gazal.redflags.conditions import Aged, Rule, all_of, any_of, high, known, low, says, two_of

ADULT = Aged(12, or_unknown=True)
SHOCK = any_of(low("systolic_bp", 95), high("heart_rate", 120), high("lactate", 4), says("shock_words"))
FEVER = any_of(high("temperature", 38.0), says("fever"))

RULES = (
    Rule(
        "cardiac_arrest",
        "Possible cardiac arrest",
        "No breathing or no pulse: call the emergency number or the arrest team now, begin chest "
        "compressions and use a defibrillator as "
        "soon as one is there, unless a valid decision not to resuscitate is known.",
        "Resuscitation Council UK, Adult basic and advanced life support, 2021",
        says("cardiac_arrest"),
    ),
    Rule(
        "critical_vital_signs",
        "A vital sign is in the range that needs an emergency assessment",
        "At least one vital sign alone asks for an urgent review by a clinician who can treat the "
        "critically ill. Measure it again, then "
        "assess airway, breathing and circulation.",
        "Royal College of Physicians, National Early Warning Score (NEWS) 2, 2017: a score of 3 "
        "in one parameter; NICE NG136, Hypertension in "
        "adults, 2019: 180/120 mmHg with signs of damage",
        all_of(
            ADULT,
            any_of(
                low("systolic_bp", 90),
                high("systolic_bp", 220),
                low("heart_rate", 40),
                high("heart_rate", 131),
                low("respiratory_rate", 8),
                high("respiratory_rate", 25),
                low("oxygen_saturation", 91),
                low("temperature", 35.0),
                high("temperature", 41.0),
                low("glasgow_coma_scale", 14),
                says("new_confusion"),
                all_of(
                    any_of(high("systolic_bp", 180), high("diastolic_bp", 120)),
                    says(
                        "drowsy", "transient_vision", "chest_pain", "papilloedema", "seizure", "vomiting", "breathless"
                    ),
                ),
            ),
        ),
    ),
    Rule(
        "paediatric_vital_signs",
        "A child's vital sign is outside the limits for the age",
        "In a child of this age the value belongs to a high-risk group. Arrange an immediate "
        "assessment by somebody experienced with ill "
        "children; a normal blood pressure does not rule out shock.",
        "NICE NG51, Sepsis, 2016 (updated 2024), tables for under 5 and 5 to 11 years; systolic "
        "limits: Paediatric Advanced Life Support, "
        "American Heart Association, 2020",
        any_of(
            all_of(
                Aged(below=1), any_of(high("respiratory_rate", 60), high("heart_rate", 160), low("systolic_bp", 69))
            ),
            all_of(Aged(1, 3), any_of(high("respiratory_rate", 50), high("heart_rate", 150), low("systolic_bp", 71))),
            all_of(Aged(3, 5), any_of(high("respiratory_rate", 40), high("heart_rate", 140), low("systolic_bp", 75))),
            all_of(Aged(5, 6), any_of(high("respiratory_rate", 29), high("heart_rate", 130), low("systolic_bp", 79))),
            all_of(Aged(6, 8), any_of(high("respiratory_rate", 27), high("heart_rate", 120), low("systolic_bp", 81))),
            all_of(Aged(8, 12), any_of(high("respiratory_rate", 25), high("heart_rate", 115), low("systolic_bp", 85))),
            all_of(
                Aged(below=12),
                any_of(
                    low("heart_rate", 60),
                    low("respiratory_rate", 10),
                    low("oxygen_saturation", 91),
                    high("capillary_refill", 3),
                    low("glasgow_coma_scale", 13),
                    low("temperature", 35.5),
                ),
            ),
        ),
    ),
    Rule(
        "acute_coronary_syndrome",
        "Possible heart attack",
        "Needs emergency assessment now: a 12-lead ECG within ten minutes, high-sensitivity "
        "troponin and monitoring. Outside a hospital, "
        "call an ambulance.",
        "European Society of Cardiology, Acute coronary syndromes, 2023; NICE CG95, Recent-onset "
        "chest pain, 2010 (updated 2016)",
        any_of(
            says("st_elevation", "infarction", "crushing_chest_pain"),
            all_of(
                says("chest_pain"), any_of(says("pain_radiates", "autonomic_upset", "pain_at_rest", "st_depression"))
            ),
            all_of(says("chest_pain"), Aged(40), known("heart_risk")),
            all_of(says("sudden_chest_pain"), Aged(40)),
            all_of(says("chest_pain", "upper_abdominal_discomfort", "breathless", "collapse"), high("troponin", 52)),
            all_of(says("upper_abdominal_discomfort", "breathless"), says("st_depression")),
            all_of(
                says("upper_abdominal_discomfort", "breathless"), says("autonomic_upset"), Aged(50), known("heart_risk")
            ),
        ),
    ),
    Rule(
        "dangerous_arrhythmia",
        "Dangerous heart rhythm",
        "Monitor now, record a 12-lead ECG and get help that can cardiovert or pace. With shock, "
        "syncope, ischaemia or heart failure the "
        "rhythm itself is the emergency.",
        "Resuscitation Council UK, Peri-arrest arrhythmias, 2021; European Society of Cardiology, "
        "Ventricular arrhythmias, 2022",
        says("ventricular_arrhythmia", "heart_block", "fast_irregular_preexcited"),
    ),
    Rule(
        "aortic_dissection",
        "Possible aortic dissection",
        "Sudden severe chest or back pain with these signs needs CT angiography of the whole "
        "aorta at once, control of pain and blood "
        "pressure, and a call to the cardiothoracic or vascular team. Do not anticoagulate before it is excluded.",
        "European Society of Cardiology, Aortic diseases, 2014 (peripheral arterial and aortic "
        "diseases, 2024); RCEM, Diagnosis of thoracic "
        "aortic dissection, 2021",
        any_of(
            says("dissection", "tearing_pain"),
            all_of(
                says("sudden_chest_pain", "pain_to_back", "crushing_chest_pain"),
                any_of(says("pulse_difference", "limb_numb", "one_sided_weakness"), known("aortic_risk")),
            ),
            all_of(
                says("pain_to_back"),
                any_of(says("sudden_chest_pain"), all_of(says("acute_onset"), known("heart_risk"))),
            ),
        ),
    ),
    Rule(
        "aortic_aneurysm",
        "Possible ruptured aortic aneurysm",
        "Call the vascular team and the emergency department now; bedside ultrasound must not "
        "delay the transfer. Permit a low blood "
        "pressure while the patient is awake.",
        "NICE NG156, Abdominal aortic aneurysm, 2020",
        any_of(
            says("ruptured_aneurysm"),
            all_of(says("pulsatile_mass"), any_of(says("collapse", "flank_or_belly_pain"), low("systolic_bp", 100))),
            all_of(
                known("aortic_aneurysm"), any_of(says("collapse"), low("systolic_bp", 100)), says("flank_or_belly_pain")
            ),
            all_of(says("flank_or_belly_pain"), says("collapse"), any_of(low("systolic_bp", 95)), Aged(60)),
        ),
    ),
    Rule(
        "pulmonary_embolism",
        "Possible pulmonary embolism",
        "Assess now with a clinical score (Wells) and oxygen saturation; when likely or the "
        "patient is unstable, imaging or treatment must "
        "not wait for the D-dimer.",
        "NICE NG158, Venous thromboembolic diseases, 2020; European Society of Cardiology, Acute "
        "pulmonary embolism, 2019",
        any_of(
            says("embolism"),
            all_of(
                says("sudden_breathless"),
                any_of(says("pleuritic_pain", "haemoptysis", "leg_swelling"), known("clot_risk")),
            ),
            all_of(
                says("pleuritic_pain"),
                any_of(says("haemoptysis", "leg_swelling"), all_of(says("breathless"), known("clot_risk"))),
            ),
            all_of(
                says("breathless"),
                says("leg_swelling"),
                any_of(low("oxygen_saturation", 94), high("heart_rate", 100), known("clot_risk")),
            ),
            all_of(
                says("breathless", "collapse"),
                known("clot_risk"),
                any_of(high("heart_rate", 110)),
                low("oxygen_saturation", 93),
            ),
        ),
    ),
    Rule(
        "tension_pneumothorax",
        "Possible tension pneumothorax",
        "Treat on clinical grounds: call for help and decompress the chest if the patient is in "
        "shock; do not wait for an X-ray.",
        "British Thoracic Society, Pleural disease, 2023; Advanced Trauma Life Support, 10th edition, 2018",
        any_of(
            says("tension_pneumothorax"),
            all_of(
                says("tracheal_shift"),
                any_of(says("silent_side", "breathless", "chest_trauma", "distended_neck_veins"), SHOCK),
            ),
            all_of(says("silent_side"), says("distended_neck_veins", "chest_trauma"), SHOCK),
        ),
    ),
    Rule(
        "severe_asthma",
        "Severe or life-threatening asthma",
        "Needs emergency treatment now: oxygen, repeated bronchodilator, steroid, and early "
        "senior help. A quiet chest, exhaustion or a "
        "normal carbon dioxide are late signs.",
        "British Thoracic Society and SIGN 158, Management of asthma, 2019; Global Initiative for Asthma, 2024",
        all_of(
            says("asthma"),
            any_of(
                says("asthma_life_threat"),
                low("peak_flow_percent", 50),
                low("oxygen_saturation", 92),
                high("respiratory_rate", 25),
                all_of(says("breathless"), high("heart_rate", 110)),
            ),
        ),
    ),
    Rule(
        "airway_obstruction",
        "The airway may be closing",
        "Keep the patient upright and calm, do not examine the throat, give oxygen if tolerated "
        "and call anaesthetic and ENT help now. "
        "Choking with an ineffective cough: back blows and abdominal or chest thrusts.",
        "Resuscitation Council UK, Choking and paediatric emergencies, 2021; Difficult Airway Society, 2015",
        any_of(
            says("epiglottitis"),
            all_of(
                says("stridor"),
                any_of(
                    says("drooling", "airway_posture", "throat_infection", "breathless", "failing_breath", "hoarse"),
                    FEVER,
                ),
            ),
            all_of(says("drooling"), says("airway_posture", "throat_infection", "hoarse", "airway_swelling")),
            all_of(
                says("airway_swelling"),
                any_of(says("hoarse", "drooling", "stridor", "breathless"), known("ace_inhibitor")),
            ),
            all_of(says("choking"), says("failing_breath", "stridor", "breathless", "drooling")),
        ),
    ),
    Rule(
        "anaphylaxis",
        "Possible anaphylaxis",
        "Give intramuscular adrenaline into the thigh at once if it is likely, lay the patient "
        "flat with legs raised (sitting if breathing "
        "is hard), call for help, and observe afterwards.",
        "Resuscitation Council UK, Emergency treatment of anaphylaxis, 2021; World Allergy Organization, 2020",
        any_of(
            says("anaphylaxis_now"),
            all_of(
                says("hives", "face_swelling"),
                says("allergic_exposure", "anaphylaxis_breathing"),
                any_of(says("anaphylaxis_breathing", "anaphylaxis_circulation"), low("systolic_bp", 90)),
            ),
            all_of(
                says("allergic_exposure"),
                any_of(says("anaphylaxis_circulation"), low("systolic_bp", 90)),
                any_of(says("anaphylaxis_breathing", "hives", "face_swelling")),
            ),
            all_of(says("allergic_exposure"), low("systolic_bp", 90)),
        ),
    ),
    Rule(
        "acute_limb_ischaemia",
        "Possible acute limb ischaemia",
        "A limb that is suddenly cold, pale and numb can be saved for about six hours: call the "
        "vascular team now, keep the limb level, "
        "relieve pain, ask about heparin.",
        "European Society for Vascular Surgery, Acute limb ischaemia, 2020",
        any_of(
            says("limb_ischaemia_named"),
            all_of(says("cold_white_limb"), says("limb_no_pulse")),
            all_of(
                says("limb_words"),
                says("limb_no_pulse"),
                says("sudden_limb"),
                any_of(says("cold_white_limb"), known("atrial_fibrillation")),
            ),
        ),
    ),
    Rule(
        "gastrointestinal_bleed",
        "Gastrointestinal bleeding",
        "Needs assessment in hospital today, at once with fast pulse, low blood pressure or "
        "fainting: two large cannulas, blood count and "
        "crossmatch, review of anticoagulants, early endoscopy.",
        "NICE CG141, Acute upper gastrointestinal bleeding, 2012 (updated 2016); British Society "
        "of Gastroenterology, Lower gastrointestinal "
        "bleeding, 2019",
        any_of(
            says("haematemesis", "melaena", "major_rectal_bleed", "gi_bleed_named"),
            all_of(
                says("rectal_bleed"),
                any_of(says("dizzy"), high("heart_rate", 100), low("systolic_bp", 100), low("haemoglobin", 80)),
            ),
        ),
    ),
    Rule(
        "critical_laboratory",
        "A laboratory value is in the critical range",
        "The value can endanger life by itself. Confirm it, look at the patient and the ECG, and "
        "start treatment with senior help.",
        "Royal College of Pathologists, Communication of critical and unexpected pathology results, 2017",
        any_of(
            low("sodium", 120),
            high("sodium", 160),
            low("potassium", 2.5),
            low("calcium", 1.8),
            high("calcium", 3.5),
            low("haemoglobin", 60),
            low("platelets", 10),
            low("ph", 7.15),
            high("ph", 7.65),
            high("lactate", 5),
            low("bicarbonate", 10),
            all_of(low("ph", 7.25), low("bicarbonate", 15)),
            low("magnesium", 0.4),
            low("phosphate", 0.3),
            high("inr", 8),
            two_of(high("creatinine", 600), high("urea", 40)),
        ),
    ),
)
