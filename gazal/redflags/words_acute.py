"""Findings of heart, vessels, lungs, brain and nerves, in clinical and everyday words.

One finding a key, its phrases separated by semicolons; `gazal.redflags.phrases` has the signs.
"""

from __future__ import annotations

SUDDEN = (
    "(sudden|suddenly|abrupt|abruptly|acute|acutely|all of a sudden|all at once|out of "
    "nowhere|out of the blue|in an instant|instantly)"
)
CANNOT = (
    "(cannot|can't|can not|couldn't|could not|unable to|not able to|unable|hasn't been able "
    "to|struggling to|struggles to)"
)

HEART = {
    "chest_pain": "chest (pain|pains|tightness|discomfort|pressure|ache|heaviness); (pain|pressure"
    "|tightness|discomfort|heaviness|ache) ~ chest;"
    "tight chest; chest and (back|arm|jaw|neck|shoulder|upper abdominal) pain; chest ~ (hurts"
    "|hurting|aching|tight); retrosternal (pain|discomfort|pressure); substernal (pain"
    "|discomfort|pressure)",
    "crushing_chest_pain": "(crushing|squeezing|vice like|heavy|pressing|constricting|gripping) ~ chest; chest ~ "
    "(crushing|squeezing|vice like|elephant);"
    "(elephant|vice|tight band|weight) ~ chest; chest ~ (like a vice|like a weight|like a tight band)",
    "pain_radiates": "(radiating|radiates|radiated|spreads|spreading|going|goes|moving|shooting|travels|up "
    "into|down) ~ (arm|arms|jaw|neck|shoulder|shoulders)",
    "autonomic_upset": "sweaty; sweating; clammy; diaphoretic; diaphoresis; cold sweat; nausea; nauseated; "
    "nauseous; feels sick; feeling sick; vomiting; vomited;"
    "grey; ashen; pale and",
    "upper_abdominal_discomfort": "(upper abdominal|epigastric|upper tummy) [pain|discomfort]; indigestion",
    "pain_at_rest": "(now|also|even|pain|comes) ~ at rest; rest pain; crescendo; (more frequent|worsening) angina",
    "st_elevation": "st elevation; st segment elevation; elevated st; stemi; st elevations; new (lbbb|left "
    "bundle branch block); hyperacute t waves",
    "st_depression": "st depression; st segment depression; nstemi; dynamic (st|ecg|t wave) changes; deep t "
    "wave inversion; wellens; (new|ischaemic|ischemic) ~ (ecg|st) changes",
    "infarction": "(acute|evolving|suspected|ongoing) (myocardial infarction|mi|coronary syndrome); acute "
    "coronary syndrome; unstable angina; having a heart attack",
    "heart_risk": "diabet*; smoker; hypertensi*; hyperlipid*; high cholesterol; ischaemic heart disease; "
    "ischemic heart disease; coronary (disease|stent|artery disease|bypass);"
    "(myocardial infarction|heart attack); stent; cabg; angina; peripheral (arterial|vascular) disease",
    "atrial_fibrillation": "atrial fibrillation; af; afib; irregularly irregular",
    "tearing_pain": "(tearing|ripping|tears|rips) ~ (chest|back|shoulder blades|abdomen); (chest|back"
    "|shoulder blades) ~ (tearing|ripping)",
    "pain_to_back": "(chest|thoracic) ~ (to|through to|into) ~ back; (pain|ripping) ~ between ~ shoulder "
    "blades; interscapular pain; chest and back pain; back and chest pain",
    "sudden_chest_pain": f"{SUDDEN} ~ chest pain; {SUDDEN} ~ (chest|back) ~ pain; {SUDDEN} ~ pain ~ (chest|shoulder "
    f"blades); chest pain ~ {SUDDEN}; (worst|severe) chest pain",
    "pulse_difference": "pulse deficit; absent ~ (pulse|pulses); unequal (pulses|pulse|blood pressure|blood "
    "pressures); (right|left) arm ~ in the (left|right); (difference|differ) ~ arms;"
    "different blood pressures; weak ~ pulse; (radial|femoral) pulse ~ (absent|weak|weaker); "
    "widened mediastinum; wide mediastinum; new diastolic murmur; aortic regurgitation murmur",
    "aortic_risk": "marfan*; ehlers danlos; loeys dietz; bicuspid aortic valve; turner syndrome; known ~ "
    "aortic aneurysm; aortic root (dilatation|dilation|aneurysm)",
    "dissection": "(acute|suspected|type a|type b) ~ dissection; aortic dissection; dissection flap; "
    "intimal flap; dissecting (aneurysm|aorta)",
    "limb_numb": "(leg|arm|legs|arms|hand|foot) ~ (numb|weak|went numb|cold)",
    "aortic_aneurysm": "abdominal aortic aneurysm; aaa; aortic aneurysm",
    "ruptured_aneurysm": "(ruptured|leaking|rupturing) ~ (aneurysm|aaa); (aneurysm|aaa) ~ (ruptured|leaking|rupture)",
    "pulsatile_mass": "pulsatile [abdominal|tummy] (mass|swelling|lump|abdomen); (pulsating|expansile"
    "|throbbing) ~ (mass|swelling|lump|abdomen); (mass|swelling|lump) ~ (pulsates|pulsatile"
    "|expansile)",
    "flank_or_belly_pain": "(back|loin|flank|abdominal|abdomen|belly|tummy|groin) ~ pain; pain ~ (back|loin|flank"
    "|abdomen|belly|tummy|groin); back and abdominal pain",
    "collapse": "collapsed; collapse; fainted; faint; faints; passed out; blacked out; syncope; "
    "blackouts; blackout; near collapse; presyncope; loss of consciousness; lost "
    "consciousness",
    "ventricular_arrhythmia": "(sustained|monomorphic|polymorphic|pulsed|runs of) ~ ventricular tachycardia; "
    "ventricular tachycardia; torsades; torsade de pointes; (broad|wide) complex tachycardia; "
    "vt at",
    "heart_block": "(complete|third degree|mobitz ii|mobitz 2|mobitz type 2|mobitz type ii) [av"
    "|atrioventricular] (heart block|block); complete heart block; asystolic pauses; "
    "ventricular (pause|standstill)",
    "fast_irregular_preexcited": "pre excited atrial fibrillation; af with (wpw|pre excitation)",
    "cardiac_arrest": "no pulse; pulseless [and] (unresponsive|apnoeic|collapse); cannot find a pulse; (not"
    "|isn't|stopped|no longer) breathing ~ (pulse|collapsed|responding|unresponsive|cpr"
    "|compressions);"
    "(collapsed|unresponsive|unconscious) ~ (not breathing|isn't breathing|stopped breathing"
    "|not breathing normally); ventricular fibrillation; asystole; pulseless electrical "
    "activity; pea arrest;"
    "(chest compressions|cpr) ~ (started|ongoing|in progress|begun|being|continues); (started"
    "|doing|giving|performing|began|commenced) ~ (chest compressions|cpr); in cardiac arrest; "
    "(received|after|with|underwent|given|undergoing) cardiopulmonary resuscitation; agonal "
    "(breathing|breaths|gasps)",
}

LUNGS = {
    "breathless": "breathless*; difficulty in breathing; difficulties breathing; short of breath; shortness "
    "of breath; dyspnoea; dyspnea; dyspnoeic; out of breath; difficulty breathing; trouble "
    "breathing; hard to breathe; struggling to breathe;"
    f"{CANNOT} breathe; respiratory distress; gasping; laboured breathing; labored breathing; breathing is hard",
    "sudden_breathless": f"{SUDDEN} ~ (breathless|breathlessness|short of breath|shortness of breath|dyspnoea"
    "|dyspnea|difficulty breathing|difficulty in breathing); (breathless|breathlessness"
    f"|shortness of breath|dyspnoea|dyspnea) ~ {SUDDEN}",
    "pleuritic_pain": "pleuritic; (worse|worsens|worsened|increases|aggravated|exacerbated) ~ (inspiration"
    "|breathing in|deep breath|deep breaths|deep breathing|deep inspiration); (pain|hurts"
    "|sharp) ~ (breathing in|deep breath|breathe in|on inspiration|with inspiration|each "
    "inspiration|each breath|on breathing); pleurisy; (stabbing|sharp) chest pain",
    "haemoptysis": "ha?emoptysis; (coughing|coughed|coughs|cough) [up] [some|bright|fresh] blood; blood ~ "
    "(phlegm|sputum)",
    "leg_swelling": "(calf|leg|thigh) ~ (swollen|swelling|swelled|tender|swells); (swollen|swelling|tender) ~ "
    "(calf|leg|thigh); dvt; deep vein thrombosis; deep venous thrombosis",
    "clot_risk": "(hip|knee) (replacement|surgery|fracture|arthroplasty); after surgery; days after ~ "
    "(surgery|operation|replacement|caesarean); postoperative; long haul; long flight; "
    "immobil*; bed bound;"
    "(contraceptive|combined) pill; combined oral contraceptive; oral contracepti*; "
    "oestrogen; estrogen; hrt; cancer; chemotherapy; metastatic; thrombophilia; factor v "
    "leiden; antiphospholipid; plaster cast; leg in plaster;"
    "(previous|prior) (dvt|pe|clot|pulmonary embolism); pregnan*; postpartum",
    "embolism": "(saddle|massive|submassive|acute|suspected|bilateral|large) ~ (embolus|embolism|pe); "
    "pulmonary embolism; pulmonary embolus; right heart strain; filling defect ~ pulmonary",
    "asthma": "asthma; asthmatic; asthma attack",
    "asthma_life_threat": "silent chest; "
    f"{CANNOT} ~ (finish|complete|speak) ~ (sentence|sentences); (cannot|can't|too breathless "
    "to|unable to) (talk|speak); (single|one) words; (reliever|inhaler|blue inhaler"
    "|salbutamol|nebuliser|nebulisers) ~ (not helping|not working|no effect|isn't helping"
    "|isn't working|no relief);"
    "exhausted; tiring; cyanos*; cyanotic; blue lips; poor respiratory effort; normal pco2; pco2 normal",
    "tension_pneumothorax": "tension pneumothorax",
    "tracheal_shift": "trachea ~ (deviated|deviation|shifted|pushed|displaced); tracheal (deviation|shift"
    "|displacement); deviated trachea",
    "silent_side": "(absent|no|reduced|without|diminished) breath sounds; hyperresonan*; breath sounds ~ absent",
    "chest_trauma": "(stab|stabbed|gunshot|penetrating) ~ (chest|wound|thorax); pneumothorax",
    "distended_neck_veins": "(distended|raised|engorged|bulging) (neck veins|jugular|jvp); neck veins ~ distended; "
    "raised jugular venous pressure",
    "stridor": "stridor; stridulous; inspiratory (noise|crowing)",
    "drooling": f"drooling; drools; dribbling saliva; {CANNOT} swallow ~ (spit|saliva|own saliva); not "
    "swallowing ~ saliva",
    "airway_posture": "tripod*; leaning forward; sitting forward; hot potato; muffled voice; voice ~ muffled; trismus",
    "throat_infection": "sore throat; throat pain; throat ~ (sore|hurts); painful throat; odynophagia; tonsil*",
    "choking": "(choked|choking|chokes) on; foreign body ~ (airway|throat|windpipe|bronchus); something "
    "stuck ~ (throat|windpipe)",
    "failing_breath": "turning blue; gone blue; going blue; blue lips; blue around the lips; cyanos*; cannot "
    "cry; can't cry; cannot (speak|breathe|cough); can't (speak|breathe|cough); ineffective "
    "cough; silent cough",
    "airway_swelling": "(tongue|throat|airway|laryngeal|uvula|floor of the mouth|floor of mouth) ~ (swelling"
    "|swollen|swelling up|oedema|edema|puffing|closing|tight|tightness); (swelling|swollen"
    "|oedema) of [the|his|her|my] (tongue|throat|airway|larynx|uvula);"
    "throat ~ (closing|closed up|tightening); angioedema; angiooedema; angio oedema; ludwig*",
    "ace_inhibitor": "ramipril; lisinopril; enalapril; perindopril; ace inhibitor; captopril",
    "hoarse": "hoarse*; voice ~ (hoarse|changed|gone)",
    "epiglottitis": "epiglottitis; supraglottitis; retropharyngeal abscess; thumbprint sign; thumb sign",
}

NERVES = {
    "face_droop": "(facial|face|mouth) (droop|drooping|drooped|weakness|palsy|asymmetry); face ~ (dropped"
    "|droops|drooping|fallen|lopsided|droop|drooped); (drooping|droopy|lopsided|crooked) "
    "(face|smile|mouth); (mouth|smile) ~ (droops|drooping|crooked|lopsided)",
    "one_sided_weakness": "(right|left|one) (sided|side|arm|leg|hand) [arm|leg|body|facial] (weakness|paralysis"
    "|numbness|weak|paralysed); hemiparesis; hemiplegia; hemiparetic; (arm|leg) (drift"
    "|weakness); pronator drift;"
    f"(weakness|numbness|paralysis) ~ (right|left|one) (side|arm|leg|hand); {CANNOT} (move"
    "|lift|raise|use) ~ (arm|leg|side|hand); (arm|leg) ~ (gone weak|went weak|floppy|dead"
    "|limp|weak|won't move)",
    "speech_trouble": "slurred ~ speech; slurring; slurred; speech ~ (slurred|slurring|garbled|lost|jumbled"
    f"|gone); dysarthri*; dysphasi*; aphasi*; (loss|lost|losing) of speech; {CANNOT} ~ (find"
    f"|get) ~ (words|word); {CANNOT} ~ speak [properly|clearly]; talking (gibberish|nonsense); "
    "word finding difficulty; garbled speech",
    "posterior_signs": f"double vision; diplopia; ataxi*; {CANNOT} walk straight; falls to one side; gaze (palsy"
    "|deviation); hemianopia; neglect; nystagmus; falls (to|towards) [his|her|the|my] ~ side",
    "sudden_dizziness": f"{SUDDEN} ~ (vertigo|dizziness|dizzy|imbalance|unsteadiness); (vertigo|dizziness) ~ {SUDDEN}",
    "stroke_named": "(acute|suspected|evolving|ischaemic|ischemic|haemorrhagic|hemorrhagic|having a|probable"
    "|new) [ischaemic|ischemic] stroke; having a stroke; intracerebral (haemorrhage"
    "|hemorrhage); brain (haemorrhage|hemorrhage|bleed); large vessel occlusion; fast "
    "positive; tia; transient ischaemic attack; transient ischemic attack",
    "acute_onset": f"{SUDDEN}; onset; (minutes|hours|hour) ago; woke ~ (with|up|and); began at; started at; "
    "since (lunch|breakfast|this morning|last night|dinner|yesterday|waking); began (this|at"
    "|an|while); started (this|an|about|while); came on ~ (seconds|minutes|while|this); (in"
    "|within) (seconds|minutes|a minute); last seen well; today; just now; new; tonight; for "
    "[the last|the past|about|over] # (hours|minutes); for (one|two|three|four|five|six|eight"
    "|1|2|3|4|5|6|7|8|9|an) (hour|hours)",
    "headache": "headache; headaches; head ~ (hurts|pain|pounding|splitting); head pain",
    "thunderclap": "thunderclap; worst [ever] headache; worst headache; worst ~ headache ~ life; (explosive"
    f"|explosion|like being hit|like a bat|hit on the head|bolt|hit by) ~ head; {SUDDEN} ~ "
    f"(headache|head pain); headache ~ {SUDDEN}; headache ~ (like being hit|like being struck"
    "|like an explosion|like a blow|peaked|explosive|bursting|explod*);"
    "headache ~ (within|in) (seconds|a second|a minute|one minute|minutes)",
    "sah_named": "subarachnoid (haemorrhage|hemorrhage|bleed|blood); aneurysmal (haemorrhage|bleed)",
    "neck_stiffness": "neck (stiffness|rigidity|stiff); stiff neck; neck ~ (stiff|rigid); meningism; "
    "meningismus; nuchal rigidity; kernig*; brudzinski*; "
    f"{CANNOT} ~ (bend|flex|move|touch) ~ (neck|chin); chin to chest",
    "light_hurts": "photophobi*; light ~ (hurts|hurt|painful|bothers|bright|on); (light|lights) ~ (eyes"
    "|off); sensitive to light; dislikes light; (does not|doesn't|avoids) ~ light",
    "new_confusion": "newly confused; new confusion; acute confusion; acutely (confused|altered|disoriented); "
    "(became|becoming|becomes|suddenly|increasingly) (confused|disoriented|unresponsive"
    "|drowsy); altered mental (status|state); (change|changes) in mental (status|state); "
    "mental status ~ (change|changes|altered); (difficult|hard) to (rouse|arouse|wake); found "
    "~ (unresponsive|unconscious); (is|appears|seems|looks|was|and) confused; confused and; "
    "confused (patient|state|man|woman|lady); (brought|presents|presented|admitted) ~ "
    "(confusion|confused); confusion and; oriented only to; only oriented to; unresponsive; "
    "unconscious; disoriented; acute delirium; obtunded; stuporous; comatose",
    "papilloedema": "papillo?edema; optic disc (swelling|oedema|edema); disc swelling; retinal (haemorrhage"
    "|hemorrhage|haemorrhages|hemorrhages)",
    "drowsy": "drowsy; drowsiness; lethargic; lethargy; hard to (wake|rouse); difficult to (wake"
    "|rouse); confused; confusion; (reduced|decreased|altered|depressed|impaired) ~ "
    "(consciousness|level|alertness|mental status|mental state); sleepy; muddled; delirious; "
    "delirium; not waking; obtunded; stuporous; disoriented; won't wake; newly confused; not "
    "himself; not herself",
    "bulging_fontanelle": "(bulging|tense|full) [anterior] (fontanelle|fontanel|soft spot); (fontanelle|soft spot) "
    "~ (bulging|tense); high pitched cry; abnormal cry",
    "meningitis_named": "(suspected|bacterial|meningococcal|acute|pneumococcal|probable) ~ (meningitis"
    "|septicaemia|septicemia); encephalitis; meningococcal (disease|sepsis|septicaemia)",
    "seizing": "(fitting|convulsing|seizing|jerking|shaking) ~ (still|continuously|now|minutes|ongoing); "
    "(still|continuously) (fitting|seizing|convulsing|jerking); (ongoing|continuous"
    "|continuing|prolonged|active|repeated) ~ (seizure|seizures|convulsion|convulsions|fit"
    "|fits); (seizure|seizures|fit|convulsion) ~ (going on|ongoing|has not stopped|not "
    "stopped|won't stop|will not stop|lasting|continues|continuing|persists) ;"
    "(seizure|fit|convulsion|seizing|fitting|convulsing) ~ (for|over|than|lasted|lasting) ~ "
    "(minutes|min|mins|hour); status epilepticus; convulsive status",
    "no_recovery_between": "(not|never|without|no) ~ (woken|waking|recovering|recovered|recovery|regained|regaining"
    "|come round|coming round) ~ (between|consciousness|seizures|fits); back to back "
    "(seizures|fits)",
    "seizure": "seizure*; convulsi*; fitting; fits; had a fit; tonic clonic",
    "saddle_numb": "saddle ~ (numb|numbness|anaesthesia|anesthesia|sensation|sensory|area|paraesthesia); "
    "numb ~ (saddle|bottom|perineum|groin|genitals|buttocks|between the legs|between her legs"
    "|between his legs|between my legs); numbness ~ (bottom|perineum|between the legs|between "
    "her legs|between his legs|between my legs|genitals|buttocks|back passage|groin); "
    f"(perianal|perineal|saddle) ~ (sensation|numbness|loss|anaesthesia|anesthesia); {CANNOT} "
    "feel ~ (wipe|toilet paper|bottom|genitals|passing urine|bladder); (no|reduced|lost"
    "|altered) ~ (feeling|sensation) ~ (bottom|perineum|perianal|saddle|genitals|between)",
    "bladder_bowel_loss": f"{CANNOT} ~ (pass urine|pee|urinate|wee|empty|pass water); urinary retention; retention "
    "of urine; (wet|wetting|soiled|soiling) (myself|himself|herself|the bed); incontinen*; "
    "(lax|reduced|loss of|absent|poor) ~ (anal tone|sphincter tone|sphincter|rectal tone); "
    "loss of (bladder|bowel) ~ control; lost control ~ (bladder|bowel|bowels); no urge to "
    "(pee|urinate|pass); new bladder (dysfunction|problems|trouble); difficulty (passing"
    "|starting) ~ (urine|urinating|pee)",
    "bilateral_leg_signs": "both legs; bilateral (sciatica|leg|lower limb|leg weakness|radicul*); (legs|leg "
    "weakness) ~ (weak|weakness|unsteady|giving way|heavy|going|numb); weakness ~ (both legs"
    "|legs|lower limbs); bilateral ~ weakness; paraparesis; paraplegia; sciatica in both; "
    "unsteady on ~ (feet|legs); "
    f"{CANNOT} (walk|climb stairs|climb|stand) ",
    "back_pain": "back pain; backache; sciatica; pain ~ (back|spine|lumbar|thoracic); back ~ (agony|pain"
    "|painful|hurts|aching|sore); lumbago; lower back; thoracic pain; spinal pain; radicular "
    "pain; disc prolapse",
    "cauda_equina_named": "(suspected|acute|possible|probable) cauda equina; cauda equina (syndrome|compression)",
    "cord_signs": "sensory level; (upgoing|extensor) (plantars|plantar|toes); brisk reflexes; "
    "hyperreflexi*; clonus; lhermitte*; band like ~ (pain|chest|waist); spastic*; cord "
    "compression",
    "malignancy": "cancer; metasta*; carcinoma; myeloma; lymphoma; malignan*; tumour; tumor; leuka?emia; "
    "sarcoma; oncology; chemotherapy",
    "spine_infection_risk": "intravenous drug; iv drug; injecting drug*; injects heroin; recent spinal; epidural "
    "(abscess|injection|catheter); discitis; vertebral osteomyelitis; endocarditis; "
    "bacteraemia; immunosuppress*; ivdu; people who inject",
    "temporal_headache": "temporal ~ (headache|headaches|pain|artery|tenderness); headache ~ (temple|temples); "
    "(temple|temples) ~ (headache|pain|painful|sore|tender|tenderness|hurt|hurts); tender ~ "
    "(temple|temples|temporal artery)",
    "scalp_tender": "scalp ~ (sore|tender|tenderness|pain|hurts); (sore|tender|painful) scalp; (hurts|sore"
    "|painful|pain) ~ (comb|combing|brush|brushing) ~ hair; sore when combing",
    "jaw_claudication": "jaw claudication; jaw ~ (aches|ache|pain|tires|hurts|sore|tired|cramps) ~ (chewing|chew"
    "|eating|chews); (pain|ache|aching|sore|tired) ~ jaw ~ (chewing|chew|eating); (chewing"
    "|eating) ~ (jaw|tires)",
    "temporal_artery": "(thickened|pulseless|tender|nodular|non pulsatile|beaded) ~ temporal artery; temporal "
    "artery ~ (thickened|tender|pulseless|without pulse|nodular)",
    "gca_named": "(suspected|possible|new|acute|probable) (giant cell arteritis|temporal arteritis|gca)",
    "polymyalgia": "polymyalgia; pmr",
    "transient_vision": "(dimming|loss|losing|blurring|blurred|double) ~ (vision|eye|sight); amaurosis; visual "
    "(loss|disturbance|symptoms); transient (blindness|visual|loss); diplopia; vision ~ (lost"
    "|dim|went|going)",
    "sudden_visual_loss": f"{SUDDEN} ~ (loss of|lost|losing|loss in) ~ (vision|sight|visual); {SUDDEN} ~ (blind"
    "|blindness|visual loss|vision loss); (vision|sight) ~ (lost|gone|went|disappeared|loss) "
    f"~ {SUDDEN}; (lost|loss of) ~ (vision|sight) ~ (eye|hour|hours|minutes|morning|today"
    f"|{SUDDEN[1:-1]}); went blind; gone blind; (curtain|shadow|veil|shutter) ~ (eye|vision"
    "|sight|field); (eye|vision) ~ (went black|gone black|blacked out|went dark|curtain); "
    "amaurosis fugax; acute (visual loss|vision loss|loss of vision)",
    "retina_signs": "cherry red spot; retinal detachment; detached retina; flashes and ~ floaters; (new"
    "|sudden|shower) ~ floaters; retinal artery occlusion; vitreous (haemorrhage|hemorrhage); "
    "pale retina; afferent pupillary defect; rapd",
    "cannot_see": f"{CANNOT} see; loss of (vision|sight); vision loss; visual loss; (lost|losing) ~ (vision"
    "|sight); blindness",
    "visual_loss_now": "(loss|lost|reduced|decreased|deteriorat*|worse|worsening|blurred|blurry) ~ (vision|sight"
    "|acuity); visual (acuity|field) ~ (loss|reduced|defect); floaters; flashes",
    "eye_pain": "(painful|pain|agony|agonising|severe pain|aching|sore) ~ (eye|eyes|eyeball); (eye"
    "|eyeball) ~ (pain|painful|agony|hurts|terrible pain|severe pain|aching|ache)",
    "red_eye": "red eye; (eye|eyes) ~ (red|redness|injected|bloodshot); (red|bloodshot) ~ eye; ciliary "
    "flush; ciliary injection",
    "angle_closure_signs": "(haloes|halos|rainbows) ~ (light|lights|lamp|lamps); (halo|haloes|halos|rainbows) ; "
    "(fixed|mid dilated|mid-dilated|unreactive|oval) ~ pupil; pupil ~ (fixed|mid dilated"
    "|unreactive|non reactive); (cloudy|hazy|steamy|corneal oedema|corneal edema) [cornea]; "
    "cornea ~ (cloudy|hazy|steamy); (rock hard|stony hard|hard) ~ (eye|eyeball); eye ~ (rock "
    "hard|stony hard|hard as|rock-hard); angle closure",
    "vomiting": "vomiting; vomited; vomits; throwing up; threw up; being sick; nausea; feel sick; feels "
    "sick; feeling sick; nauseous; emesis; sick several times; keeps being sick",
}
