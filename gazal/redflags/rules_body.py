"""Emergencies of belly, pregnancy, infection and metabolism."""

from __future__ import annotations

from gazal.redflags.conditions import Aged, Pregnant, Rule, all_of, any_of, high, known, low, says, two_of
from gazal.redflags.rules_circulation import FEVER, SHOCK

_MONTH = 1 / 12

RULES = (
    Rule(
        "sepsis",
        "Possible sepsis",
        "Infection with these signs needs assessment within the hour: lactate, blood cultures, "
        "intravenous antibiotics and fluid, and senior "
        "review.",
        "NICE NG51, Sepsis, 2016 (updated 2024); Surviving Sepsis Campaign, 2021",
        any_of(
            says("septic_named"),
            all_of(
                any_of(FEVER, says("infection"), low("temperature", 36.0)),
                any_of(
                    low("systolic_bp", 90),
                    high("lactate", 2.1),
                    all_of(
                        says("sepsis_signs"),
                        any_of(high("respiratory_rate", 22), low("systolic_bp", 100), high("heart_rate", 110)),
                    ),
                    two_of(
                        high("heart_rate", 110),
                        high("respiratory_rate", 22),
                        low("systolic_bp", 100),
                        low("oxygen_saturation", 92),
                        low("glasgow_coma_scale", 14),
                        says("sepsis_signs"),
                    ),
                ),
                Aged(12, or_unknown=True),
            ),
            all_of(
                Aged(below=12),
                FEVER,
                any_of(says("sepsis_signs", "unwell_infant"), high("lactate", 2.1), high("capillary_refill", 3)),
            ),
        ),
    ),
    Rule(
        "neutropenic_sepsis",
        "Possible neutropenic sepsis",
        "Fever under chemotherapy is an emergency even when the patient looks well: hospital now, "
        "blood count and cultures, and intravenous "
        "antibiotics within one hour, before the count is known.",
        "NICE CG151, Neutropenic sepsis, 2012 (updated 2020)",
        any_of(
            all_of(FEVER, low("neutrophils", 0.99)),
            all_of(FEVER, says("chemotherapy_recent")),
            all_of(known("chemotherapy_recent"), high("temperature", 38.0)),
        ),
    ),
    Rule(
        "necrotising_fasciitis",
        "Possible necrotising soft tissue infection",
        "Call a surgeon now: the diagnosis is made in theatre and hours decide. Broad antibiotics "
        "and resuscitation go alongside; normal "
        "imaging does not rule it out.",
        "World Society of Emergency Surgery, Skin and soft-tissue infections, 2022; Infectious "
        "Diseases Society of America, 2014",
        any_of(
            says("necrotising_named"),
            all_of(says("soft_tissue_infection"), says("necrosis_signs")),
            all_of(
                says("soft_tissue_infection"),
                says("pain_out_of_proportion"),
                any_of(says("spreading_fast"), SHOCK, FEVER),
            ),
        ),
    ),
    Rule(
        "non_blanching_rash",
        "Rash that does not blanch, with illness",
        "With fever or an ill look treat as meningococcal disease until shown otherwise: "
        "antibiotics at once and hospital by ambulance.",
        "NICE NG240, Meningitis (bacterial) and meningococcal disease, 2024; NICE NG143, Fever in under 5s, 2019",
        all_of(says("petechiae"), any_of(FEVER, says("drowsy", "spreading_fast"), SHOCK)),
    ),
    Rule(
        "febrile_infant",
        "Fever in a baby under three months",
        "38 °C or more below three months of age is high risk whatever the baby looks like: "
        "hospital assessment now, with blood, urine and "
        "often spinal fluid cultures.",
        "NICE NG143, Fever in under 5s, 2019 (updated 2021)",
        all_of(Aged(below=3 * _MONTH + 0.005), any_of(high("temperature", 38.0), says("fever"))),
    ),
    Rule(
        "septic_arthritis",
        "Possible septic arthritis",
        "A hot painful joint with fever is infected until shown otherwise: joint aspiration "
        "before antibiotics, today, and orthopaedic "
        "review.",
        "British Society for Rheumatology, Hot swollen joint, 2006; NICE CKS, Septic arthritis, 2023",
        any_of(
            says("septic_joint"),
            all_of(
                says("hot_joint", "joint_movement_pain"),
                FEVER,
                any_of(all_of(says("hot_joint"), says("joint_movement_pain")), high("c_reactive_protein", 20)),
            ),
        ),
    ),
    Rule(
        "diabetic_ketoacidosis",
        "Possible diabetic ketoacidosis",
        "Needs hospital now: blood ketones, venous gas and potassium, fluid and insulin by "
        "protocol. With an SGLT2 inhibitor the glucose may "
        "be nearly normal.",
        "Joint British Diabetes Societies, Diabetic ketoacidosis in adults, 2023; ISPAD, 2022",
        any_of(
            says("dka_named"),
            high("ketones", 3.0),
            all_of(high("glucose", 11), any_of(low("bicarbonate", 15), low("ph", 7.3), says("ketosis", "acidosis"))),
            all_of(high("glucose", 20), says("dka_symptoms")),
            all_of(says("high_sugar_words"), says("dka_symptoms", "ran_out_insulin")),
            all_of(says("ran_out_insulin"), says("dka_symptoms")),
            all_of(known("diabetes", "sglt2"), says("ketosis", "acidosis"), says("dka_symptoms", "acid_breath")),
            all_of(
                says("acid_breath"),
                says("vomiting"),
                says("drowsy", "dka_symptoms"),
                any_of(known("diabetes"), says("drowsy")),
            ),
            high("glucose", 30),
        ),
    ),
    Rule(
        "hypoglycaemia",
        "Low blood glucose",
        "Treat now: fast sugar by mouth if awake and able to swallow, otherwise glucagon or "
        "intravenous glucose; measure again after 10 to 15 "
        "minutes and look for the cause.",
        "Joint British Diabetes Societies, Hypoglycaemia in adults, 2023; American Diabetes "
        "Association, Standards of care, 2024",
        any_of(low("glucose", 3.0), all_of(says("hypo_symptoms"), says("unresponsive", "seizure", "drowsy"))),
    ),
    Rule(
        "hyperkalaemia",
        "Dangerous potassium",
        "Record an ECG now; with changes, or a potassium of 6.5 or more, give calcium, insulin "
        "with glucose, and stop what raises it. Repeat the "
        "sample without delaying treatment.",
        "UK Kidney Association, Acute hyperkalaemia in adults, 2023",
        any_of(
            high("potassium", 6.5),
            all_of(high("potassium", 6.0), says("hyperkalaemia_ecg", "kidney_failure", "missed_dialysis", "weakness")),
            all_of(says("hyperkalaemia_ecg"), known("kidney_failure", "missed_dialysis")),
        ),
    ),
    Rule(
        "adrenal_crisis",
        "Possible adrenal crisis",
        "Give hydrocortisone 100 mg by injection at once on suspicion, with saline and glucose; "
        "do not wait for laboratory results.",
        "Society for Endocrinology, Adrenal crisis, 2016 (updated 2023); NICE NG243, Adrenal insufficiency, 2024",
        any_of(
            says("adrenal_crisis_named"),
            all_of(
                any_of(known("adrenal_insufficiency", "long_term_steroid"), says("steroid_stopped")),
                any_of(low("systolic_bp", 100), says("shock_words"), low("sodium", 125), low("glucose", 3.5)),
                any_of(says("vomiting", "steroid_stopped", "shock_words"), low("systolic_bp", 90), low("sodium", 125)),
            ),
            all_of(known("adrenal_insufficiency"), says("vomiting"), says("steroid_stopped")),
        ),
    ),
    Rule(
        "acute_abdomen",
        "Possible surgical abdomen",
        "Signs of perforation or obstruction: nothing by mouth, pain relief, fluids, and a "
        "surgeon now. Green vomit in a baby is a volvulus "
        "until shown otherwise.",
        "World Society of Emergency Surgery, Perforated peptic ulcer, 2020, and Adhesive small "
        "bowel obstruction, 2017; NICE NG29 and RCS, "
        "High-risk general surgical patient, 2018",
        any_of(
            says("free_air", "obstruction", "ischaemic_gut"),
            all_of(
                says("peritonism"),
                any_of(says("severe_belly_pain", "abdominal_pain", "distension", "vomiting"), FEVER, SHOCK),
            ),
            all_of(says("bilious_vomit"), any_of(says("distension", "no_passage", "severe_belly_pain"), Aged(below=1))),
            all_of(says("no_passage"), says("distension"), says("vomiting", "severe_belly_pain", "abdominal_pain")),
            all_of(says("severe_belly_pain"), any_of(SHOCK, known("atrial_fibrillation"), Aged(65))),
        ),
    ),
    Rule(
        "testicular_torsion",
        "Possible testicular torsion",
        "Sudden testicular pain goes to theatre, not to a scan that takes time: call urology or "
        "surgery now, about six hours decide. In boys the "
        "pain may be felt in the belly.",
        "European Association of Urology, Paediatric urology, 2024; NICE CKS, Scrotal pain and swelling, 2021",
        any_of(says("torsion_signs"), all_of(says("testicular_pain"), says("torsion_onset"))),
    ),
    Rule(
        "ovarian_torsion",
        "Possible ovarian torsion",
        "Sudden one-sided pelvic pain with vomiting, or with a cyst, needs a gynaecologist today: "
        "the ovary can be saved by early surgery, and "
        "flow on ultrasound does not rule it out. Do a pregnancy test.",
        "ACOG Committee Opinion 783, Adnexal torsion in adolescents, 2019; RCOG Green-top guideline 62, 2011",
        any_of(
            says("ovarian_no_flow"),
            all_of(
                known("ovarian_mass"),
                says("pelvic_pain", "one_sided_pelvic_pain", "severe_belly_pain"),
                any_of(says("vomiting", "one_sided_pelvic_pain", "severe_belly_pain")),
            ),
        ),
    ),
    Rule(
        "ectopic_pregnancy",
        "Possible ectopic pregnancy",
        "Pain or bleeding in early pregnancy with these signs needs an early pregnancy unit "
        "today, and the emergency department at once after "
        "fainting, with shoulder tip pain or in shock.",
        "NICE NG126, Ectopic pregnancy and miscarriage, 2019 (updated 2023)",
        any_of(
            says("ectopic_named"),
            all_of(
                any_of(Pregnant(before_week=20), high("beta_hcg", 25)),
                any_of(
                    all_of(
                        says("pelvic_pain", "one_sided_pelvic_pain", "abdominal_pain"),
                        any_of(
                            says("vaginal_bleeding", "shoulder_tip_pain", "collapse", "one_sided_pelvic_pain"),
                            known("ectopic_risk"),
                            SHOCK,
                        ),
                    ),
                    says("shoulder_tip_pain"),
                    all_of(says("collapse", "vaginal_bleeding"), SHOCK),
                ),
            ),
            all_of(
                says("missed_period"),
                says("abdominal_pain", "pelvic_pain"),
                any_of(says("collapse", "shoulder_tip_pain", "vaginal_bleeding"), SHOCK),
            ),
        ),
    ),
    Rule(
        "pre_eclampsia",
        "Possible severe pre-eclampsia or eclampsia",
        "Needs the maternity unit now: a pressure of 160/110 is treated within the hour, a "
        "convulsion with magnesium sulfate. It can also begin "
        "in the weeks after birth.",
        "NICE NG133, Hypertension in pregnancy, 2019 (updated 2023); ACOG Practice Bulletin 222, 2020",
        all_of(
            Pregnant(from_week=20, after_birth=True),
            any_of(
                high("systolic_bp", 160),
                high("diastolic_bp", 110),
                all_of(
                    any_of(high("systolic_bp", 140), high("diastolic_bp", 90)),
                    says("pre_eclampsia_symptoms", "proteinuria", "seizure"),
                ),
                says("eclampsia_named", "seizure"),
                all_of(says("proteinuria"), says("headache", "pre_eclampsia_symptoms")),
            ),
        ),
    ),
    Rule(
        "pregnancy_bleeding",
        "Bleeding in later pregnancy or after birth",
        "Needs the maternity unit now: assess mother and baby, no vaginal examination before a "
        "low placenta is excluded. After birth, massage "
        "the uterus, give uterotonics and call for help. Few movements of the baby need assessment the same day.",
        "RCOG Green-top guidelines 63, Antepartum haemorrhage, 2011, 52, Postpartum haemorrhage, "
        "2016, and 57, Reduced fetal movements, 2011; "
        "WHO, Postpartum haemorrhage, 2012",
        any_of(
            all_of(Pregnant(from_week=20), says("vaginal_bleeding", "abruption_signs", "fetal_movement")),
            all_of(
                Pregnant(from_week=99, after_birth=True),
                any_of(says("postpartum_haemorrhage", "heavy_bleeding"), high("blood_loss_ml", 500)),
            ),
            says("postpartum_haemorrhage"),
        ),
    ),
)
